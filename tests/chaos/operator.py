"""Who answers what the house asks of a person: rules on offers as the dice fall, and says what unknown words mean."""

import random
import time
from collections.abc import Iterable
from functools import partial

from schemas.status import AttentionReason, DeliveryStatus
from worker import enqueue, log
from worker.container import Container
from worker.domain import lifecycle
from worker.domain.delivery import Delivery, OfferDecision

REST = 0.5
WORDS = {"order:6": DeliveryStatus.DELIVERED}
"""What the sandbox's unknown words mean."""
logger = log.get(__name__)


class Person:
    """Looks at what waits for somebody, and has the same doors as the commands have."""

    def __init__(self, made: Container, seed: str) -> None:
        self._made, self._dice = made, random.Random(f"{seed} person")
        self._seen: set[str] = set()
        self._explained: set[tuple[str, str]] = set()

    def work(self) -> None:
        """Answer for ever; whatever is away is asked again."""
        while True:
            time.sleep(REST)
            try:
                self._explain()
                self._rule(self._made.database.recent(200, unfinished=True))
            except Exception as error:  # noqa: BLE001 - a person tries again
                logger.warning("person.failed", error=type(error).__name__)

    def _explain(self) -> None:
        found = {(carrier, word) for carrier, words in self._made.database.odd_words().items() for word in words}
        for carrier, word in found - self._explained:
            if word in WORDS:
                now = self._made.clock()
                enqueue.enqueue_next_steps(
                    self._made.database.explain_word(carrier, word, WORDS[word], self._made.terms, now), now
                )
            self._explained.add((carrier, word))

    def _rule(self, deliveries: Iterable[Delivery]) -> None:
        """Accept a third of the offers and deny a third; the others are left until they lapse."""
        made = self._made
        for each in deliveries:
            if AttentionReason.OFFER_WAITS not in each.attention_reasons or each.id in self._seen:
                continue
            ruling = self._dice.choice([OfferDecision.ACCEPT, OfferDecision.DENY, None])
            if ruling is not None:
                decide = partial(lifecycle.decide_offer, decision=ruling, terms=made.terms, now=made.clock())
                enqueue.enqueue_next_steps(made.database.update([each.id], decide), made.clock())
            self._seen.add(each.id)
