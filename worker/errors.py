"""Few errors, distinguished by what the caller must do.

    SettingsError           stop at the start and report every fault
    Forged                  answer 401 and change nothing
    NotSentError            send the message to people again later
    CarrierError
    ├── Unavailable         repeat the call later: nothing happened at the carrier
    │   └── Postponed       the same, but not counted by the circuit breaker
    │       ├── Throttled   the same, and the carrier asked for fewer calls
    │       └── Held        the same, and no other carrier is asked instead
    ├── Uncertain           look the order up first: the call may have taken effect
    ├── Refused             never repeat the call: the carrier refused it, or it certainly cannot succeed
    └── Unreadable          conclude nothing: the answer or the callback cannot be understood

A class exists only if some caller treats it differently from the other classes.
"""

from dataclasses import dataclass
from datetime import datetime

from schemas.status import Reason


class SettingsError(Exception):
    """Settings that cannot work; the text lists every fault."""


class Forged(Exception):
    """A callback without proof that the carrier sent it."""


class NotSentError(Exception):
    """A message to people that their service did not accept."""


@dataclass(frozen=True, slots=True)
class Sent:
    """When a call was sent, and after how many seconds it ended."""

    at: datetime
    seconds: float


class CarrierError(Exception):
    """A call that ended without a usable answer from the carrier.

    `sent` is when the call was sent, if the gateway ended it.
    """

    sent: Sent | None = None


class Unavailable(CarrierError):
    """Nothing happened at the carrier; the same call may be made again.

    `retry_after` is the shortest wait before the next call, in seconds; None if it is not known. `account` is true if
    the account cannot be used at all, because it is paused or because the carrier rejects its credentials or contract.
    The delivery then counts no failure.
    """

    def __init__(self, text: str, *, retry_after: float | None = None, account: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.account = account


class Postponed(Unavailable):
    """The call has to wait, because of a rate limit or because it could not start in time.

    The circuit breaker does not count this as a failure.
    """


class Throttled(Postponed):
    """The carrier rejected a call because there were too many calls. Further calls of the account have to wait."""


class Held(Postponed):
    """The create has to wait until an operator ends the hold. No other carrier is asked instead."""


class Uncertain(CarrierError):
    """It is unknown whether the call took effect. Only a look-up, a later read or an operator can find that out."""


class Refused(CarrierError):
    """The carrier refused the call, or the call was not sent because it certainly cannot succeed.

    The call changed nothing at the carrier, and a repeat would not succeed either.
    """

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason
        self.text = text


class Unreadable(CarrierError):
    """An answer or a callback that cannot be understood. It proves neither success nor failure."""
