"""Few errors, named by what the caller must do.

    SettingsError       stop at the start and say every fault
    Forged              answer 401, change nothing
    CarrierError
    ├── Unavailable     again later, harmless: nothing happened at the carrier
    │   └── Held        the same, and nobody failed: it is only not our turn
    │       └── Throttled   the carrier itself said so
    ├── Uncertain       it may have happened: ask before anything else
    ├── Refused         never: the carrier, or its documented limits, said no
    └── Unreadable      never: we do not understand the answer, and nothing depends on it

A class exists only where some `except` treats it differently.
"""

from schemas.status import Reason


class SettingsError(Exception):
    """Settings that cannot work; the text names every fault."""


class Forged(Exception):
    """A callback that its carrier did not send."""


class CarrierError(Exception):
    """A call to a carrier that brought no answer we can use."""


class Unavailable(CarrierError):
    """Nothing happened at the carrier; the same call may be made again.

    `retry_after` is in seconds, None when the carrier did not say. `account` is true when the whole account is
    shut out (credentials, contract): then it is paused and no delivery is blamed.
    """

    def __init__(self, text: str, *, retry_after: float | None = None, account: bool = False) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.account = account


class Held(Unavailable):
    """Our own budget holds the call back, or it came too late to be sent; this counts as nobody's failure."""


class Throttled(Held):
    """The carrier turned the call away because there were too many: then it is left alone for a while."""


class Uncertain(CarrierError):
    """The call may have taken effect; only a look-up or a person can tell."""


class Refused(CarrierError):
    """The carrier definitely said no, or would: nothing happened and the same call would be refused again."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason
        self.text = text


class Unreadable(CarrierError):
    """An answer to a harmless question that we cannot read; the state stays as it was."""
