"""Send new events to one address, such as that of a receiver under development. Nothing is stored about it."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.domain.delivery import OutgoingEvent
from worker.errors import Unavailable, Uncertain
from worker.http.webhooks import WebhookSender, signed

PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds between the tries to send an event; the last one is repeated."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One try to send an event: the status of the answer, or the error."""

    event: OutgoingEvent
    document: dict[str, Any]
    status: int | None = None
    error: str = ""


@dataclass(frozen=True)
class Listener:
    """Send events one after the other, signed as a subscriber gets them."""

    sender: WebhookSender
    now: Callable[[], datetime]
    """The wall clock, with which the receiver compares the time of a request."""
    pause: Callable[[float], object]

    def forward(self, events: Iterable[OutgoingEvent], url: str, secret: str) -> Iterator[Forwarded]:
        """Send each event until it is answered; yield every try. Any answer counts, also one that is no success."""
        for event in events:
            document = json.loads(event.body)
            failures = 0
            while (tried := self._send(event, document, url, secret)).status is None:
                yield tried
                self.pause(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
            yield tried

    def _send(self, event: OutgoingEvent, document: dict[str, Any], url: str, secret: str) -> Forwarded:
        try:
            reply = self.sender.post(signed(url, (secret,), document["id"], self.now(), event.body))
        except (Unavailable, Uncertain) as error:
            return Forwarded(event, document, error=str(error))
        return Forwarded(event, document, reply.status)

    def close(self) -> None:
        """Give up a request that is under way."""
        self.sender.close(0)
