"""Search a carrier's own list for the order of a create with an unknown outcome, because an operator asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from worker import log
from worker.carriers.abilities import ListedOrder, Listing, ListsOrders, NamesOrders
from worker.carriers.port import AttemptView, Carrier
from worker.clock import Clock
from worker.database import search
from worker.database.database import Database
from worker.domain import candidates
from worker.domain.candidates import CarrierSearch, Owners
from worker.domain.carrier_terms import TermsByAccount, attempt_view
from worker.domain.delivery import Attempt, Delivery
from worker.errors import CarrierError
from worker.http.call import Call
from worker.services.account_health import AccountHealth
from worker.services.outcomes import run_codec, unreadable_reply

logger = log.get(__name__)
MAX_PAGES = 10
"""The most pages of a list that are read, because they use up the rate limit of the account."""
CALL_SECONDS = 10.0
"""The deadline of each call. The operator waits for it."""
PAGES_WITHIN = timedelta(seconds=20)
"""How long after the first page another page may be requested."""
NOT_ASKED = "The carrier was not asked."


@dataclass(frozen=True)
class Candidates:
    """Search a carrier for an order whose id we do not know. Nothing is stored, and nothing changes at the carrier."""

    codecs: Mapping[str, Carrier]
    database: Database
    health: AccountHealth
    terms: TermsByAccount
    clock: Clock

    def search(self, delivery: Delivery, *, calls: bool = True) -> CarrierSearch | None:
        """Return what is known about the order at its carrier; None when no order's id is missing.

        Without `calls`, the carrier is not asked. An error of the carrier is the `problem` of the result.
        """
        attempt = candidates.unidentified_attempt(delivery)
        if attempt is None:
            return None
        found = self._list(delivery, attempt) if calls else CarrierSearch(attempt.carrier, problem=NOT_ASKED)
        names = candidates.names_to_search(delivery, attempt, self._sent_names(attempt_view(delivery, attempt)))
        risks = candidates.absence_risks(attempt, self.terms.get(attempt.carrier), self.clock(), found)
        return replace(found, names=names, risks=risks)

    def risk_of_haste(self, delivery: Delivery) -> str:
        """Return why it is too early to say that the carrier does not have the order; empty if it is not too early."""
        attempt = candidates.unidentified_attempt(delivery)
        return candidates.risk_of_haste(attempt, self.terms.get(attempt.carrier), self.clock()) if attempt else ""

    def _sent_names(self, view: AttemptView) -> Mapping[str, str]:
        codec = self.codecs.get(view.carrier)
        if isinstance(codec, NamesOrders):
            return codec.sent_names(view)
        return {"our number": str(view.id), "our tag": view.reference, "order number": view.order.number}

    def _list(self, delivery: Delivery, attempt: Attempt) -> CarrierSearch:
        account = attempt.carrier
        if account not in self.codecs:
            return CarrierSearch(account, problem=f"The account {account} is not in the settings.")
        read = run_codec(account, lambda: self._read(account, attempt_view(delivery, attempt)), unreadable_reply)
        if isinstance(read, CarrierError):
            return CarrierSearch(account, problem=f"{account} could not be asked: {read}.")
        listed, problem = candidates.listed_near(attempt, read[0]), read[1]
        rated = candidates.rate(attempt, listed, self._owners(attempt, listed))
        logger.info("carrier.orders_listed", account=account, delivery_id=delivery.id, candidates=len(rated))
        return CarrierSearch(account, candidates=rated, problem=problem)

    def _read(self, account: str, view: AttemptView) -> tuple[list[ListedOrder], str | None]:
        """Return the orders in the account's list, and why some are missing. Raises CarrierError."""
        codec, now = self.codecs[account], self.clock()
        if isinstance(codec, ListsOrders):
            codec = self.health.admit(account)
        pages = codec.list_near(view, now) if isinstance(codec, ListsOrders) else []
        if not pages:
            return [], f"{account} does not list such orders. Search for this one on its own screen."
        listed: list[ListedOrder] = []
        complete = True
        for _ in range(MAX_PAGES):
            page = self._read_page(codec, pages.pop(0), view)
            listed += page.orders
            pages += [page.next_page] if page.next_page else []
            complete = complete and (page.complete or page.next_page is not None)
            if not pages or self.clock() - now > PAGES_WITHIN:
                break
        return listed, None if complete and not pages else f"The list of {account} could not be read completely."

    def _read_page(self, codec: Carrier, call: Call, view: AttemptView) -> Listing:
        assert isinstance(codec, ListsOrders)  # noqa: S101 - it has built the call
        parse = partial(codec.read_near, call, attempt=view, now=self.clock())
        return self.health.query(codec, call, parse, within=CALL_SECONDS)

    def _owners(self, attempt: Attempt, listed: Sequence[ListedOrder]) -> Owners:
        refs = [each.ref for each in listed if each.ref is not None]
        ids = {attempt_id for each in listed for attempt_id in each.attempt_ids} - {attempt.id}
        return Owners(*self.database.read(search.owners, attempt.carrier, refs, ids))
