"""A container whose parts a test may replace at any time."""

from functools import cached_property
from typing import Any

from worker.carriers.port import Carrier
from worker.container import Container
from worker.services.accounts import CarrierAccounts

SERVICES = frozenset(
    name
    for name, part in vars(Container).items()
    if isinstance(part, cached_property)
    and part.func.__annotations__["return"].__module__.startswith("worker.services")
)


class ReplaceableContainer(Container):
    """A container that constructs its services anew when one of their parts is replaced."""

    def __setattr__(self, name: str, value: Any) -> None:
        self.forget_services()
        super().__setattr__(name, value)

    def forget_services(self) -> None:
        """Construct services again at their next use, with nothing that they remembered."""
        for name in SERVICES:
            self.__dict__.pop(name, None)

    def replace_codec(self, account: str, codec: Any) -> None:
        """Make this the codec of an account once it is logged in."""
        known = self.accounts

        class Replaced(CarrierAccounts):
            def logged_in(self, name: str) -> Carrier:
                return codec if name == account else super().logged_in(name)

        self.accounts = Replaced(known.codecs, known.bind, known.database, known.gateway, known.clock)
