"""Check that Borzo sent a callback, find the callback's attempt, and read the callback's observations.

The signature is HMAC-SHA256 over the body as it arrived. It is checked before anything reads the body (B-81).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import replace

from worker.carriers.borzo.attempt_state import AttemptMemory
from worker.carriers.borzo.observations import at_least_created, observe_delivery, observe_order, referenced_attempts
from worker.carriers.borzo.wire import RawDelivery, RawEvent, parse_event
from worker.carriers.port import AttemptView, Callback, CallbackKey, Observation, attempt_id_of
from worker.errors import Forged, Unreadable

SIGNATURE_HEADER = "x-dv-signature"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_CREATE_UNANSWERED = frozenset({"submitting", "submit_unknown"})


def verify_signature(body: bytes, signature: str | None, secrets: Sequence[str]) -> None:
    """Raise Forged unless the signature matches the body and one of the secrets (B-82).

    While a new secret replaces an old one, both are valid (Borzo, "Notification about order changes").
    """
    given = (signature or "").strip().lower()
    if not secrets:
        raise Forged("no callback secret is set")
    if _SHA1.fullmatch(given):
        raise Forged("the signature has the length of SHA-1; only SHA-256 is accepted")  # B-91: no downgrade to SHA-1
    if not _SHA256.fullmatch(given):
        raise Forged("the signature is missing or no SHA-256 in hexadecimal")
    digest = bytes.fromhex(given)
    matches = [hmac.compare_digest(digest, hmac.digest(secret.encode(), body, hashlib.sha256)) for secret in secrets]
    if not any(matches):
        raise Forged("the signature does not fit the body")


def read_key(callback: Callback) -> CallbackKey:
    """Return Borzo's order id and, from our reference, the attempt's id (B-86, B-88).

    Raises Unreadable for a callback that has neither.
    """
    event = _event(callback)
    key = _key(event)
    if key == CallbackKey():
        raise Unreadable("the callback names neither an order nor one of our references")
    return replace(key, reported_at=event.event_datetime, entity="order" if event.order else "delivery")


def read_event(callback: Callback, attempt: AttemptView) -> Observation | None:
    """Return what a callback reports; None when it has no status, or is about another order or point (B-88).

    Raises Unreadable for a callback that contains neither an order nor a delivery.
    """
    event, memory = _event(callback), AttemptMemory.from_attempt(attempt)
    seen = None
    if event.order and _is_about(attempt, event.order.order_id, referenced_attempts(event.order.points)):
        seen = observe_order(event.order, memory, polled=False, event_at=event.event_datetime)
    elif event.delivery and _is_about(attempt, event.delivery.order_id, _referenced_attempt(event.delivery)):
        seen = observe_delivery(event.delivery, memory, event.event_datetime)
    return at_least_created(seen) if seen and attempt.state in _CREATE_UNANSWERED else seen


def _event(callback: Callback) -> RawEvent:
    event = parse_event(callback.body)
    if event is None:
        raise Unreadable("the callback carries neither an order nor a delivery")
    return event


def _key(event: RawEvent) -> CallbackKey:
    if event.order:
        attempt_ids = referenced_attempts(event.order.points)
        return CallbackKey(ref=str(event.order.order_id), attempt_id=min(attempt_ids, default=None))
    if event.delivery is None:
        return CallbackKey()
    order_id, attempt_ids = event.delivery.order_id, _referenced_attempt(event.delivery)
    return CallbackKey(ref=str(order_id) if order_id else None, attempt_id=min(attempt_ids, default=None))


def _is_about(attempt: AttemptView, order_id: int | None, attempt_ids: frozenset[int]) -> bool:
    """Return whether a message is about the attempt.

    If Borzo's order id is known for both, these two ids decide. If it is known only for the attempt, the result is
    True. If it is not known for the attempt, our reference decides.
    """
    if attempt.ref is not None and order_id is not None:
        return attempt.ref == str(order_id)
    return attempt.id in attempt_ids or (attempt.ref is not None and order_id is None)


def _referenced_attempt(raw_delivery: RawDelivery) -> frozenset[int]:
    attempt_id = attempt_id_of(raw_delivery.client_order_id or "")
    return frozenset() if attempt_id is None else frozenset({attempt_id})
