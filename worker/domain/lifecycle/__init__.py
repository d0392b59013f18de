"""The effects of messages, replies, observations and time on a delivery.

All functions are pure: none of them reads a clock, a database or a network. A decision about a delivery returns a
`Change`, which contains the new delivery and the events to publish.
"""

from worker.domain.carrier_terms import TermsByAccount
from worker.domain.lifecycle.alarms import fire_alarms, give_way, resolve_attention
from worker.domain.lifecycle.call_outcomes import (
    apply_amend_outcome,
    apply_cancel_outcome,
    begin_call,
    close_call,
    is_due,
)
from worker.domain.lifecycle.cancellation import apply_cancel_request
from worker.domain.lifecycle.change import snapshot
from worker.domain.lifecycle.creates import apply_create_outcome, apply_late_booking, begin_booking
from worker.domain.lifecycle.observations import apply_observations, status_key
from worker.domain.lifecycle.offers import apply_confirm_outcome, decide_offer
from worker.domain.lifecycle.order_messages import (
    accept_order,
    apply_order_message,
    apply_platform_status,
    closed_gate,
    is_stale,
    record_platform_conflict,
    with_ready_time,
)
from worker.domain.lifecycle.reads import postpone, record_missing, record_read_failure, schedule_read_now
from worker.domain.lifecycle.reconciliation import (
    mark_outcome_unknown,
    no_lookup_available,
    record_conflict,
    record_not_found,
    resolve_unknown_outcome,
)
from worker.domain.lifecycle.reopening import record_duplicates
from worker.domain.lifecycle.retry import retry, retry_blocker
from worker.domain.lifecycle.routing import leave_busy_carrier, route, unable_carriers
from worker.domain.lifecycle.status_mapping import StatusMappings, apply_mappings, reapply_mappings

__all__ = [
    "StatusMappings",
    "TermsByAccount",
    "accept_order",
    "apply_amend_outcome",
    "apply_cancel_outcome",
    "apply_cancel_request",
    "apply_confirm_outcome",
    "apply_create_outcome",
    "apply_late_booking",
    "apply_mappings",
    "apply_observations",
    "apply_order_message",
    "apply_platform_status",
    "begin_booking",
    "begin_call",
    "close_call",
    "closed_gate",
    "decide_offer",
    "fire_alarms",
    "give_way",
    "is_due",
    "is_stale",
    "leave_busy_carrier",
    "mark_outcome_unknown",
    "no_lookup_available",
    "postpone",
    "reapply_mappings",
    "record_conflict",
    "record_duplicates",
    "record_missing",
    "record_not_found",
    "record_platform_conflict",
    "record_read_failure",
    "resolve_attention",
    "resolve_unknown_outcome",
    "retry",
    "retry_blocker",
    "route",
    "schedule_read_now",
    "snapshot",
    "status_key",
    "unable_carriers",
    "with_ready_time",
]
