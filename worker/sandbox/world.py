"""What the four APIs share: the clock, the ledger, the numbers they hand out and the shape of an API."""

import functools
import hashlib
import itertools
import json
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox.agenda import Agenda
from worker.sandbox.callbacks import Letter, Post, Watch
from worker.sandbox.config import SandboxConfig
from worker.sandbox.ledger import Ledger
from worker.sandbox.lives import Life, Moment

Handler = Callable[[Request], Awaitable[Response]]

_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing an API can do, by the name a fault uses for it."""

    name: str
    method: str
    path: str
    handler: Handler


@dataclass(slots=True, kw_only=True)
class Order:
    """An order at a carrier: what every carrier knows of it."""

    id: str
    reference: str
    script: str
    created: datetime
    life: Life
    watch: Watch | None = field(default=None, repr=False)


class Api(Protocol):
    """One of the four APIs."""

    @property
    def name(self) -> str:
        """Return the name that the ledger and the faults use for it."""

    @property
    def orders(self) -> Mapping[str, Order]:
        """Return its orders by their id."""

    @property
    def dead(self) -> frozenset[str]:
        """Return the words under which no courier stands for an order."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return what it can do."""

    def denied(self, request: Request) -> Response | None:
        """Return the refusal when the request carries no valid credentials."""


class World:
    """The surroundings of the APIs; numbers never repeat, not after a reset and not after a restart."""

    def __init__(self, config: SandboxConfig, post: Post, agenda: Agenda) -> None:
        self.config, self.post, self.agenda = config, post, agenda
        self.ledger = Ledger()
        self._numbers = itertools.count(int(config.clock().timestamp() * 10_000))

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return self.config.clock()

    def number(self) -> int:
        """Return a number that was never given before."""
        return next(self._numbers)

    def token(self, length: int) -> str:
        """Return letters and digits that nobody guesses but the seed decides."""
        digest = hashlib.sha512(f"{self.config.seed}:{self.number()}".encode()).digest()
        return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:length])

    def follow(self, order: Order, write: Callable[[int, Moment], Iterable[Letter]]) -> None:
        """Send the letters that `write` gives for each word of the order's life."""
        order.watch = Watch(order.life, self.post, write)
        self.changed(order)

    def changed(self, order: Order) -> None:
        """Tell what is new about the order soon."""
        if order.watch is not None:
            self.agenda.at(self.now(), order.watch)


dumps = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


class Json(Response):
    """A JSON reply with the charset named, as Borzo and DeliverIt write it."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200) -> None:
        super().__init__(dumps(content), status_code, {"Content-Type": "application/json; charset=utf-8"})


async def read_form(request: Request) -> dict[str, Any]:
    """Return the fields of a body sent as JSON or as a form; nothing where it is neither."""
    body = await request.body()
    if "json" not in request.headers.get("content-type", ""):
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
