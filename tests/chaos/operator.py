"""The operator of a run: decides about offers at random and maps the sandbox's unknown statuses."""

import random
import time
from collections.abc import Iterable
from functools import partial

from schemas.status import DeliveryStatus
from worker import enqueue, log
from worker.container import Container
from worker.domain import lifecycle
from worker.domain.delivery import Delivery, OfferDecision
from worker.domain.lifecycle.change import OFFER_WAITS

INTERVAL = 0.5
MEANINGS = {"order:6": DeliveryStatus.DELIVERED}
"""What the sandbox's unknown statuses mean."""
logger = log.get(__name__)


class Operator:
    """Does what waits for an operator, with the same calls as the commands of `order-sync`."""

    def __init__(self, container: Container, seed: str) -> None:
        self._container, self._dice = container, random.Random(f"{seed} operator")
        self._seen: set[str] = set()
        self._mapped: set[tuple[str, str]] = set()

    def work(self) -> None:
        """Work for ever; an operation that fails is tried again."""
        while True:
            time.sleep(INTERVAL)
            try:
                self._map_statuses()
                self._decide_offers(self._container.database.recent(200, unfinished=True))
            except Exception as error:  # noqa: BLE001 - an operator tries again
                logger.warning("operator.failed", error=type(error).__name__)

    def _map_statuses(self) -> None:
        database = self._container.database
        found = {(carrier, status) for carrier, statuses in database.odd_words().items() for status in statuses}
        for carrier, status in found - self._mapped:
            if status in MEANINGS:
                now = self._container.clock()
                changed = database.explain_word(carrier, status, MEANINGS[status], self._container.terms, now)
                enqueue.enqueue_next_steps(changed, now)
            self._mapped.add((carrier, status))

    def _decide_offers(self, deliveries: Iterable[Delivery]) -> None:
        """Accept a third of the offers, deny a third, and let the others lapse."""
        for each in deliveries:
            if OFFER_WAITS not in each.asks or each.id in self._seen:
                continue
            decision = self._dice.choice([OfferDecision.ACCEPT, OfferDecision.DENY, None])
            if decision is not None:
                self._decide(each.id, decision)
            self._seen.add(each.id)

    def _decide(self, delivery_id: str, decision: OfferDecision) -> None:
        now = self._container.clock()
        decide = partial(lifecycle.decide_offer, ruling=decision, rules=self._container.terms, now=now)
        enqueue.enqueue_next_steps(self._container.database.update([delivery_id], decide), now)
