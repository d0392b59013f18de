"""The carriers of a rehearsal: one sandbox for each account, on the virtual clock."""

import math
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import SecretStr

from worker.carriers.account import CarrierAccount
from worker.carriers.port import attempt_id_of
from worker.errors import SettingsError
from worker.sandbox import Sandbox, SandboxConfig
from worker.sandbox.api import Order
from worker.sandbox.faults import Fault
from worker.sandbox.in_process import InProcess

STEPS: Mapping[str, float] = {"cervo": 480.0, "borzo": 240.0, "deliverit": 480.0}
"""Seconds that each status of an order lasts, by carrier. The pickup is 16 minutes after the create."""
SPREAD = 0.3
"""The standard deviation of the logarithm of an order's pace."""
SCRIPTS: Mapping[str, Mapping[str, float]] = {
    "cervo": {"courier_withdraws": 0.02, "returned": 0.01, "cancelled": 0.01, "cervo=refused": 0.005},
    "borzo": {"courier_withdraws": 0.02, "returned": 0.01, "cancelled": 0.01, "delayed": 0.01, "borzo=refused": 0.005},
    "deliverit": {"offered": 0.03, "offered_late": 0.01, "returned": 0.01, "deliverit=closed": 0.005},
}
"""The shares of orders that do not simply arrive, by the kind of their first carrier, and what happens to them."""
LOST_REPLIES = 0.002
"""The share of creates whose reply is lost."""
OUTAGE = timedelta(minutes=10)
HOST = "{}.rehearsal.invalid"
"""The host of an account's sandbox. The top-level domain `invalid` has no servers."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a carrier answers nothing useful."""

    account: str
    begins: datetime
    length: timedelta
    kind: Literal["error_before", "drop_before"] = "error_before"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What happens at the carriers in a rehearsal."""

    seed: int = 1
    lost_replies: float = LOST_REPLIES
    scripts: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: SCRIPTS)
    outages: tuple[Outage, ...] = ()


def simulated(account: CarrierAccount) -> CarrierAccount:
    """Return an account with the sandbox's address and credentials. Raises SettingsError for an unknown kind."""
    config, values = SandboxConfig(), dict[str, Any]()
    match account.kind:
        case "cervo":
            values = {"token": SecretStr(config.cervo_token)}
        case "borzo":
            secret = SecretStr(config.borzo_callback_secret) if getattr(account, "callback_secret", None) else None
            values = {"token": SecretStr(config.borzo_token), "callback_secret": secret, "payment_method": "balance"}
        case "deliverit":
            password = SecretStr(config.deliverit_password)
            values = {"username": config.deliverit_username, "password": password, "company": None}
        case kind:
            raise SettingsError(f"carriers.{account.name}: there is no simulation of the carrier {kind}")
    return account.model_copy(update={"base_url": f"http://{HOST.format(account.name)}", **values})


class Carriers:
    """The sandboxes of all accounts."""

    def __init__(
        self,
        accounts: Mapping[str, CarrierAccount],
        clock: Callable[[], datetime],
        conditions: Conditions,
        public_url: str,
        callbacks: InProcess,
    ) -> None:
        """`callbacks` is how the sandboxes reach `public_url`; an empty address means that they send no callbacks."""
        self._clock, self._conditions = clock, conditions
        self._failing: dict[str, Outage] = {}
        self.sandboxes = {
            name: Sandbox(_config(account, clock, conditions.seed, public_url), callbacks)
            for name, account in accounts.items()
        }
        self.kinds = {name: account.kind for name, account in accounts.items()}
        for name in self.sandboxes:
            self._set_faults(name, None)

    def transport(self) -> InProcess:
        """Return what the gateway sends its requests through."""
        return InProcess({HOST.format(name): sandbox.app for name, sandbox in self.sandboxes.items()})

    def next_due(self) -> datetime | None:
        """Return when the next callback is due, or the next outage begins or ends; None for never."""
        now = self._clock()
        due = [found for each in self.sandboxes.values() if (found := each.scheduler.next_due)]
        edges = [edge for each in self._conditions.outages for edge in (each.begins, each.begins + each.length)]
        return min([*due, *(edge for edge in edges if edge > now)], default=None)

    async def run_due(self) -> bool:
        """Send the callbacks that are due, and begin and end the outages; return whether a callback was due."""
        now = self._clock()
        current = {each.account: each for each in self._conditions.outages if _is_on(each, now)}
        for name in current.keys() ^ self._failing.keys():
            self._set_faults(name, current.get(name))
        self._failing = current
        due = [each.scheduler for each in self.sandboxes.values()]
        due = [each for each in due if each.next_due is not None and each.next_due <= now]
        for scheduler in due:
            await scheduler.run_due()
        return bool(due)

    def find(self, account: str, attempt_id: int) -> str | None:
        """Return the carrier's id of the order of an attempt; None if the carrier has no such order."""
        return next(iter(self.orders_of(account).get(attempt_id, {})), None)

    def orders_of(self, account: str) -> dict[int, dict[str, Order]]:
        """Return the account's orders at its carrier by their ids, for each attempt."""
        found: dict[int, dict[str, Order]] = {}
        kind = self.kinds[account]
        for order in self.sandboxes[account].apis[kind].orders.values():
            attempt = int(order.reference) if kind == "cervo" else attempt_id_of(order.reference.removeprefix("#"))
            if attempt is not None:
                found.setdefault(attempt, {})[order.id] = order
        return found

    def _set_faults(self, name: str, outage: Outage | None) -> None:
        if name not in self.sandboxes:
            return
        faults = self.sandboxes[name].faults
        faults.clear()
        if outage is not None:
            faults.add(Fault(kind=outage.kind, times=None, status=503 if outage.kind == "error_before" else None))
        elif self._conditions.lost_replies:
            lost = self._conditions.lost_replies
            faults.add(Fault(kind="no_reply", operation="create", times=None, chance=lost))


def script_for(kind: str, conditions: Conditions, dice: random.Random) -> str:
    """Return the script of an order whose first carrier is of this kind: mostly `happy`."""
    shares = conditions.scripts.get(kind, {})
    return dice.choices([*shares, "happy"], [*shares.values(), max(0.0, 1 - sum(shares.values()))])[0]


def outages_between(accounts: Collection[str], begin: datetime, end: datetime) -> tuple[Outage, ...]:
    """Return one outage of ten minutes for each account, spread over a time span."""
    apart = (end - begin) / (len(accounts) + 1)
    return tuple(Outage(name, begin + apart * (place + 1), OUTAGE) for place, name in enumerate(sorted(accounts)))


def _is_on(outage: Outage, now: datetime) -> bool:
    return outage.begins <= now < outage.begins + outage.length


def _config(account: CarrierAccount, clock: Callable[[], datetime], seed: int, public_url: str) -> SandboxConfig:
    dice = random.Random(f"{seed} {account.name}")  # noqa: S311 - repeatable on purpose

    def pace(_created: datetime) -> float:
        return math.exp(dice.gauss(0, SPREAD))

    callback = f"{public_url}/callbacks/{account.name}" if getattr(account, "callback_secret", None) else None
    return SandboxConfig(
        step=STEPS[account.kind],
        pace=pace,
        seed=seed,
        clock=clock,
        sleep=_no_wait,
        borzo_callback_url=callback if public_url else None,
        cervo_id_location=(getattr(account, "id_location", "query"),),
        **{f"{account.kind}_timezone": getattr(account, "timezone")},  # noqa: B009 - every kind that is simulated has one
    )


async def _no_wait(_seconds: float) -> None:
    """Return at once: on a virtual clock, nothing takes time but what the rehearsal schedules."""
