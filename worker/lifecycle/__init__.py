"""What a message, a reply, an observation or a passing hour means for a delivery.

Pure: every function takes a delivery and returns the `Change`, the delivery as it is then and the events to tell.
Nothing here reads a clock, a database or a network.
"""

from worker.lifecycle.alarms import attended, ring
from worker.lifecycle.anew import kept_from_retry, retry
from worker.lifecycle.calls import amended, begin_booking, begin_call, cancel_answered, due, settle
from worker.lifecycle.doubt import absent, lost, resolve, unfindable
from worker.lifecycle.edit import Rules, snapshot
from worker.lifecycle.gates import ready_now, waits_at
from worker.lifecycle.messages import accept, ask_cancel
from worker.lifecycle.news import observe
from worker.lifecycle.offers import confirmed, rule
from worker.lifecycle.platform import amend, platform_differs, platform_said
from worker.lifecycle.routing import route
from worker.lifecycle.silence import look_now, missed, put_off, unseen
from worker.lifecycle.surplus import duplicates
from worker.lifecycle.words import Words, explained, reread

__all__ = [
    "Rules",
    "Words",
    "absent",
    "accept",
    "amend",
    "amended",
    "ask_cancel",
    "attended",
    "begin_booking",
    "begin_call",
    "cancel_answered",
    "confirmed",
    "due",
    "duplicates",
    "explained",
    "kept_from_retry",
    "look_now",
    "lost",
    "missed",
    "observe",
    "platform_differs",
    "platform_said",
    "put_off",
    "ready_now",
    "reread",
    "resolve",
    "retry",
    "ring",
    "route",
    "rule",
    "settle",
    "snapshot",
    "unfindable",
    "unseen",
    "waits_at",
]
