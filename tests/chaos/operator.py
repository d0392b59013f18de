"""Who answers what the house asks of a person: rules on offers as the dice fall, and says what unknown words mean."""

import random
import time
from collections.abc import Iterable
from functools import partial

from schemas.status import DeliveryStatus
from worker import enqueue, log
from worker.container import House
from worker.domain import lifecycle
from worker.domain.delivery import Delivery, Ruling
from worker.domain.lifecycle.change import OFFER_WAITS

REST = 0.5
WORDS = {"order:6": DeliveryStatus.DELIVERED}
"""What the sandbox's unknown words mean."""
logger = log.get(__name__)


class Person:
    """Looks at what waits for somebody, and has the same doors as the commands have."""

    def __init__(self, made: House, seed: str) -> None:
        self._made, self._dice = made, random.Random(f"{seed} person")
        self._seen: set[str] = set()
        self._explained: set[tuple[str, str]] = set()

    def work(self) -> None:
        """Answer for ever; whatever is away is asked again."""
        while True:
            time.sleep(REST)
            try:
                self._explain()
                self._rule(self._made.store.recent(200, unfinished=True))
            except Exception as error:  # noqa: BLE001 - a person tries again
                logger.warning("person.failed", error=type(error).__name__)

    def _explain(self) -> None:
        found = {(carrier, word) for carrier, words in self._made.store.odd_words().items() for word in words}
        for carrier, word in found - self._explained:
            if word in WORDS:
                now = self._made.now()
                enqueue.after(self._made.store.explain_word(carrier, word, WORDS[word], self._made.rules, now), now)
            self._explained.add((carrier, word))

    def _rule(self, deliveries: Iterable[Delivery]) -> None:
        """Accept a third of the offers and deny a third; the others are left until they lapse."""
        made = self._made
        for each in deliveries:
            if OFFER_WAITS not in each.asks or each.id in self._seen:
                continue
            ruling = self._dice.choice([Ruling.ACCEPT, Ruling.DENY, None])
            if ruling is not None:
                decide = partial(lifecycle.rule, ruling=ruling, rules=made.rules, now=made.now())
                enqueue.after(made.store.update([each.id], decide), made.now())
            self._seen.add(each.id)
