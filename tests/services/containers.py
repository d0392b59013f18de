"""A container whose parts a test can replace at any time."""

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
    """A container that constructs its services again after a part of it was replaced."""

    def __setattr__(self, name: str, value: Any) -> None:
        self.forget_services()
        super().__setattr__(name, value)

    def forget_services(self) -> None:
        """Construct the services again at their next use, without what they remembered."""
        for name in SERVICES:
            self.__dict__.pop(name, None)

    def replace_codec(self, account: str, codec: Any) -> None:
        """Replace the codec that an account has once it is logged in."""
        current = self.accounts

        class WithReplacedCodec(CarrierAccounts):
            def logged_in(self, name: str) -> Carrier:
                return codec if name == account else super().logged_in(name)

        self.accounts = WithReplacedCodec(
            current.codecs, current.bind, current.database, current.gateway, current.clock
        )
