"""What a message, a reply, an observation or a passing hour means for a delivery.

Pure: every function takes a delivery and returns the `Change`, the delivery as it is then and the events to tell.
Nothing here reads a clock, a database or a network.
"""

from worker.lifecycle.alarms import attended, ring
from worker.lifecycle.calls import accepts_offer, begin_booking, begin_call, cancel_answered, confirmed, due, settle
from worker.lifecycle.doubt import absent, lost, resolve, unfindable
from worker.lifecycle.edit import Rules, snapshot
from worker.lifecycle.messages import accept, amend, ask_cancel
from worker.lifecycle.news import observe
from worker.lifecycle.routing import route
from worker.lifecycle.silence import look_now, missed, put_off, unseen
from worker.lifecycle.surplus import duplicates

__all__ = [
    "Rules",
    "absent",
    "accept",
    "accepts_offer",
    "amend",
    "ask_cancel",
    "attended",
    "begin_booking",
    "begin_call",
    "cancel_answered",
    "confirmed",
    "due",
    "duplicates",
    "look_now",
    "lost",
    "missed",
    "observe",
    "put_off",
    "resolve",
    "ring",
    "route",
    "settle",
    "snapshot",
    "unfindable",
    "unseen",
]
