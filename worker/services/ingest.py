"""The orders stream's reader. It lets no error out: it only parses, stores, acknowledges and hints."""

import json
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any

from schemas.ordering import INBOUND, NO_DEFAULTS, ProjectDefaults
from schemas.orders import MalformedError, Message, Order, read_message
from worker import enqueue, log
from worker.bus.streams import AWAY, Entry
from worker.container import Container
from worker.database.connection import is_transient
from worker.database.inbox import DeadLetter, Intake

logger = log.get(__name__)
COUNT = 100
BLOCK_MS = 1000
PAUSE = 1.0


def read(
    entries: Sequence[tuple[str, bytes | dict[str, Any]]], project: ProjectDefaults = NO_DEFAULTS
) -> tuple[list[Message], list[DeadLetter]]:
    """Read documents, each with what identifies it; what cannot be read comes back as dead letters."""
    messages, dead = [], []
    for identity, document in entries:
        try:
            messages.append(read_message(document, project))
        except MalformedError as error:
            raw = document if isinstance(document, bytes) else json.dumps(document, default=repr).encode()
            dead.append(DeadLetter(raw, str(error), identity))
    return messages, dead


def take_in(made: Container, entries: Sequence[tuple[str, bytes | dict[str, Any]]]) -> None:
    """Store documents in one transaction and hint what follows. Raises what the database raises."""
    messages, dead = read(entries, made.settings.ordering.project)
    now = made.clock()
    gate = made.settings.ordering.gate
    changed = made.database.take_in(Intake(messages, dead, made.file_shops, gate=gate), made.terms, now)
    note_strange(messages)
    enqueue.enqueue_next_steps(changed, now, told=bool(entries))
    if dead:
        logger.warning("orders.quarantined", count=len(dead), reasons=sorted({each.reason for each in dead}))
    if messages:
        logger.info("orders.accepted", messages=len(messages), changed=len(changed))


def note_strange(messages: Sequence[Message]) -> None:
    """Note the statuses that no document explains: they change nothing (O-25)."""
    told = {message.data.status for message in messages if isinstance(message.data, Order)}
    if strange := told - INBOUND.keys() - {None}:
        logger.warning("platform.status_unknown", statuses=sorted(map(str, strange)))


class Reader:
    """Reads the stream until it is stopped."""

    def __init__(self, made: Container) -> None:
        self._house = made
        self._consumer = f"{socket.gethostname()}.{os.getpid()}"
        self._stop = threading.Event()
        self._mine = True  # what this consumer read before and never acknowledged comes first

    def run(self) -> None:
        """Read, store, acknowledge; after any failure pause, and begin with what was not acknowledged."""
        while not self._stop.is_set():
            try:
                self.step()
            except Exception as error:
                self._mine = True
                logger.warning("orders.reading_failed", error=type(error).__name__, exc_info=not away(error))
                self._stop.wait(PAUSE)

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Read and store one batch; return how many entries it held."""
        entries = self._house.bus.read(self._consumer, COUNT, block_ms, mine=self._mine)
        self._mine = self._mine and bool(entries)
        if entries:
            self._store(entries)
            self._house.bus.acknowledge(entries)
        return len(entries)

    def _store(self, entries: Sequence[Entry]) -> None:
        documents = [(entry.id, entry.document) for entry in entries]
        try:
            take_in(self._house, documents)
        except Exception as error:
            if away(error):
                raise
            self._one_by_one(documents)

    def _one_by_one(self, documents: Sequence[tuple[str, bytes]]) -> None:
        """Find the one that cannot be taken in, so that it alone is buried and the stream goes on."""
        for document in documents:
            try:
                take_in(self._house, [document])
            except Exception as error:
                if away(error):
                    raise
                logger.exception("orders.not_taken_in")
                letter = DeadLetter(document[1], f"it cannot be stored: {type(error).__name__}", document[0])
                self._house.database.take_in(Intake(dead=[letter]), self._house.terms, self._house.clock())

    def stop(self) -> None:
        """Ask the reader to end after the batch it is in."""
        self._stop.set()


def away(error: Exception) -> bool:
    """Tell whether the database or Redis is what is in trouble: the same may work in a while."""
    return is_transient(error) or isinstance(error, AWAY)
