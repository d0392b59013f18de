"""The state that the simulated APIs share: the clock, the ids, the ledger and the outgoing callbacks."""

import hashlib
import itertools
import string
from datetime import datetime

from worker.sandbox.api import Order
from worker.sandbox.callbacks import BuildCallbacks, CallbackSender, StatusNotifier
from worker.sandbox.config import SandboxConfig
from worker.sandbox.ledger import Ledger
from worker.sandbox.scheduler import Scheduler
from worker.sandbox.wall_clock import WallClock

_ALPHABET = string.ascii_letters + string.digits


class World:
    """The shared state. Its numbers never repeat, even after a reset or a restart."""

    def __init__(self, config: SandboxConfig, callbacks: CallbackSender, scheduler: Scheduler) -> None:
        self.config, self.callbacks, self.scheduler = config, callbacks, scheduler
        self.ledger = Ledger()
        self._numbers = itertools.count(int(config.clock().timestamp() * 10_000))

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return self.config.clock()

    def wall_clock(self, carrier: str, zone: str) -> WallClock:
        """Return the clock by which a carrier writes its times, in the zone of this IANA name."""
        return WallClock.of(zone, self.config.clocks_ahead.get(carrier, 0))

    def step(self) -> float:
        """Return how long each status of an order lasts that is created now, in seconds."""
        return self.config.step * self.config.pace(self.now())

    def new_number(self) -> int:
        """Return a number that was never returned before."""
        return next(self._numbers)

    def new_token(self, length: int) -> str:
        """Return a token of letters and digits, determined by the seed and the next number."""
        digest = hashlib.sha512(f"{self.config.seed}:{self.new_number()}".encode()).digest()
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])

    def subscribe(self, order: Order, build: BuildCallbacks) -> None:
        """Send the callbacks that `build` returns for each status of the order."""
        order.notifier = StatusNotifier(order.scenario, self.callbacks, build)
        self.notify(order)

    def notify(self, order: Order) -> None:
        """Send the callbacks for new statuses of the order at the next run of the scheduler."""
        if order.notifier is not None:
            self.scheduler.schedule(self.now(), order.notifier)
