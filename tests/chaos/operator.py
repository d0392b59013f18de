"""The operator of a run: decides about offers at random and maps the sandbox's unknown statuses."""

import random
import time
from collections.abc import Iterable

from schemas.status import AttentionReason, DeliveryStatus
from worker import log
from worker.container import Container
from worker.database import accounts
from worker.database.search import Filter, search
from worker.domain import operator
from worker.domain.delivery import Delivery, OfferDecision

INTERVAL = 0.5
MEANINGS = {"order:6": DeliveryStatus.DELIVERED}
"""What the sandbox's unknown statuses mean."""
logger = log.get(__name__)
OPERATOR = operator.Operator("chaos")


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
                self._decide_offers(self._container.database.read(search, Filter(unfinished=True), 200))
            except Exception as error:  # noqa: BLE001 - an operator tries again
                logger.warning("operator.failed", error=type(error).__name__)

    def _map_statuses(self) -> None:
        database = self._container.database
        found = {
            (carrier, status)
            for carrier, statuses in database.read(accounts.unmapped_statuses).items()
            for status in statuses
        }
        for carrier, status in found - self._mapped:
            if status in MEANINGS:
                self._container.decisions.map_status(carrier, status, MEANINGS[status], OPERATOR)
            self._mapped.add((carrier, status))

    def _decide_offers(self, waiting: Iterable[Delivery]) -> None:
        """Accept a third of the offers, deny a third, and let the others lapse."""
        for each in waiting:
            if AttentionReason.OFFER_WAITS not in each.attention_reasons or each.id in self._seen:
                continue
            decision = self._dice.choice([OfferDecision.ACCEPT, OfferDecision.DENY, None])
            if decision is not None:
                self._container.decisions.decide_offer(each.id, decision, OPERATOR)
            self._seen.add(each.id)
