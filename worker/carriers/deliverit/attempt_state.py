"""The state that the codec stores with an attempt (`codec_state`), and the facts that follow from it.

The keys are the constants below and the names in `MILESTONES`. Every value is a text. A driver order is identified by
the token of its cancel link, and a transferred order by the order number of DeliverIt.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from worker.carriers.deliverit.status import MILESTONES
from worker.carriers.deliverit.times import local_date, round_up_to_minute
from worker.carriers.deliverit.wire import is_token
from worker.carriers.port import AttemptView, Observation

ACCEPT_TOKEN, CANCEL_TOKEN = "accept_token", "cancel_token"
TOKENS = {"accept": ACCEPT_TOKEN, "deny": "deny_token", "cancel": CANCEL_TOKEN}
"""The `codec_state` key of the token for each action. The tokens come from the links in the replies (D-28)."""
EARLIER_CANCEL_TOKENS = "earlier_cancel_tokens"
"""The `codec_state` key of replaced cancel tokens, oldest first. The day list may still show one of them (D-32)."""
AGREED_PICKUP = "agreed_pickup"
LISTED_PICKUP = "listed_pickup"
LISTED_ON = "listed_on"
"""The `codec_state` key of the day whose list last showed the order's row."""
FINGERPRINT = "row_fingerprint"
ORDER_ID, PRICE = "order_id", "price"
"""The `codec_state` keys of two values: the order's id, for DeliverIt's support (D-27), and the last price (D-24)."""
NUMBER = "order_number"
"""The `codec_state` key of DeliverIt's order number.

Only a transferred order has this key. Its value is empty when no reply contained the number.
"""

MIDNIGHT_MARGIN = timedelta(minutes=5)
"""The largest expected difference between our time and DeliverIt's time of the same create (D-53)."""


def placeholder_ref(reference: str) -> str:
    """Return a placeholder for the `ref` of an order whose cancel link is unknown. No token begins with `#`."""
    return f"#{reference}"


def agreed_pickup(attempt: AttemptView) -> datetime:
    """Return the pickup time that DeliverIt confirmed or offered. Without such a time, return the requested time."""
    agreed = attempt.codec_state.get(AGREED_PICKUP)
    return datetime.fromisoformat(agreed) if agreed else round_up_to_minute(attempt.pickup_at)


def latest_pickup(attempt: AttemptView) -> datetime:
    """Return the last pickup time from the day list or an accepted offer. Without such a time, return the agreed time.

    The cut-offs of a cancel are counted back from this time (D-40).
    """
    listed = attempt.codec_state.get(LISTED_PICKUP)
    return datetime.fromisoformat(listed) if listed else agreed_pickup(attempt)


def recorded_milestones(attempt: AttemptView) -> dict[str, datetime]:
    """Return the milestones that a read showed as past, with their times.

    A milestone stays recorded even if the day list shows N/A for it later (D-57).
    """
    recorded = {name: attempt.codec_state.get(name) for name in MILESTONES}
    return {name: datetime.fromisoformat(instant) for name, instant in recorded.items() if instant}


def cancel_tokens(attempt: AttemptView) -> list[str]:
    """Return every cancel token that the attempt ever had: first the `ref`, then the others, newest first (D-32)."""
    earlier = attempt.codec_state.get(EARLIER_CANCEL_TOKENS, "").split()
    latest = (attempt.ref, attempt.codec_state.get(CANCEL_TOKEN))
    return [token for token in (*latest, *reversed(earlier)) if token and is_token(token)]


def with_cancel_token(attempt: AttemptView, token: str | None) -> dict[str, str]:
    """Return the `codec_state` entries for a new cancel token. For None or a known token, there are none (D-32)."""
    known = cancel_tokens(attempt)
    if token is None or token in known:
        return {}
    return {CANCEL_TOKEN: token, EARLIER_CANCEL_TOKENS: " ".join(dict.fromkeys(reversed(known)))}


def listing_days(attempt: AttemptView, now: datetime, zone: ZoneInfo) -> set[date]:
    """Return the days whose lists may show the attempt.

    The document does not say whether an order is listed on the day of its creation or of its pickup (D-53), so both
    days are returned. An operator may book a driver on any day between them, so today and the day whose list last
    showed the attempt are returned too.
    """
    created = attempt.submitted_at
    instants = (created - MIDNIGHT_MARGIN, created + MIDNIGHT_MARGIN, attempt.pickup_at, agreed_pickup(attempt), now)
    listed = {date.fromisoformat(attempt.codec_state[LISTED_ON])} if has_row(attempt) else set()
    return listed | {local_date(instant, zone) for instant in (*instants, latest_pickup(attempt))}


def has_row(attempt: AttemptView) -> bool:
    """Return whether the day list ever showed the attempt. A transferred order is listed once it has a driver."""
    return LISTED_ON in attempt.codec_state


def is_transferred(attempt: AttemptView) -> bool:
    """Return whether the order was transferred, whatever the account's mode is now."""
    return NUMBER in attempt.codec_state


def order_number(attempt: AttemptView) -> str | None:
    """Return DeliverIt's number of a transferred order, from a reply or from an operator; None while unknown."""
    if not is_transferred(attempt):
        return None
    from_rows = cancel_tokens(replace(attempt, ref=None))
    from_operator = attempt.ref if is_token(attempt.ref) and attempt.ref not in from_rows else None
    return attempt.codec_state[NUMBER] or from_operator


def as_driver_order(attempt: AttemptView) -> AttemptView:
    """Return a transferred order in the form of a driver order, with the cancel token as its `ref`.

    Any other attempt is returned unchanged.
    """
    return replace(attempt, ref=attempt.codec_state.get(CANCEL_TOKEN)) if is_transferred(attempt) else attempt


def with_transferred_ref(attempt: AttemptView, observations: Sequence[Observation]) -> tuple[Observation, ...]:
    """Replace the cancel token in each observation's `ref` with the `ref` of the transferred order.

    The observations stay unchanged if the attempt has no `ref`, or was not transferred.
    """
    if not is_transferred(attempt):
        return tuple(observations)
    return tuple(replace(each, ref=attempt.ref or each.ref) for each in observations)
