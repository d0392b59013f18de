"""What a message, a reply, an observation or a passing hour means for a delivery.

Pure: every function takes a delivery and returns the `Change`, the delivery as it is then and the events to tell.
Nothing here reads a clock, a database or a network.
"""

from worker.domain.lifecycle.alarms import attended, ring
from worker.domain.lifecycle.call_outcomes import amended, begin_booking, begin_call, cancel_answered, due, settle
from worker.domain.lifecycle.change import Rules, snapshot
from worker.domain.lifecycle.dispatch_gate import ready_now, waits_at
from worker.domain.lifecycle.missed_reads import look_now, missed, put_off, unseen
from worker.domain.lifecycle.observations import observe
from worker.domain.lifecycle.offers import confirmed, rule
from worker.domain.lifecycle.order_messages import accept, ask_cancel
from worker.domain.lifecycle.platform_status import amend, platform_differs, platform_said
from worker.domain.lifecycle.reconciliation import absent, lost, resolve, unfindable
from worker.domain.lifecycle.retry import kept_from_retry, retry
from worker.domain.lifecycle.routing import route
from worker.domain.lifecycle.status_mapping import Words, explained, reread
from worker.domain.lifecycle.surplus import duplicates

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
