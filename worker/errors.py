"""Few errors, distinguished by what the caller must do.

    SettingsError           stop at the start and report every fault
    Forged                  answer 401 and change nothing
    CarrierError
    ├── Unavailable         repeat the call later: nothing happened at the carrier
    │   └── Postponed       the same, but not counted by the circuit breaker
    │       ├── Throttled   the same, and the carrier asked for fewer calls
    │       └── Held        the same, and no other carrier is asked instead
    ├── Uncertain           look the order up first: the call may have taken effect
    ├── Refused             never repeat it: the carrier, or its documented limits, said no
    └── Unreadable          never repeat it: the answer is unreadable, and nothing depends on the answer

A class exists only if some caller treats it differently from the other classes.
"""

from schemas.status import Reason


class SettingsError(Exception):
    """Settings that cannot work; the text lists every fault."""


class Forged(Exception):
    """A callback that its carrier did not send."""


class CarrierError(Exception):
    """A call to a carrier that got no usable answer."""


class Unavailable(CarrierError):
    """Nothing happened at the carrier; the same call may be made again.

    `retry_after` is in seconds; None if no time is given. `account` is true if the carrier rejects the whole account,
    because of its credentials or contract. Then the account is paused, and the delivery counts no failure.
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
    """The carrier rejected the call because there were too many calls. The next calls have to wait for a while."""


class Held(Postponed):
    """The create has to wait for an operator. No other carrier is asked instead."""


class Uncertain(CarrierError):
    """The call may have taken effect; only a look-up or an operator can find out."""


class Refused(CarrierError):
    """The carrier refused the call, or certainly would refuse it. Nothing happened; a repeat would be refused too."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason
        self.text = text


class Unreadable(CarrierError):
    """An unreadable answer to a harmless call. The answer changes nothing."""
