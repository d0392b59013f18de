"""The page of one delivery. The customer's data are shown only when asked for, and the asking is recorded."""

import threading
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.carriers.port import reference_of
from worker.container import Container
from worker.database import deliveries
from worker.domain import lifecycle
from worker.domain.candidates import CarrierSearch, unidentified_attempt
from worker.domain.delivery import Delivery
from worker.domain.operator import Operator
from worker.domain.trouble import deadline_of, freshness_of
from worker.web.desk.access import Form
from worker.web.desk.choices import choose, possible_actions
from worker.web.desk.pages import Pages, storable

_SEARCHING = threading.BoundedSemaphore(2)
"""A slow carrier takes half a minute for its list, so few may be read at a time: the other pages need the threads."""


@dataclass(frozen=True)
class DeliveryPage:
    """Show one delivery."""

    services: Container
    pages: Pages

    def show(self, request: Request) -> Response:
        """Show a delivery without the customer's data."""
        return self._page(request, self._find(request), customer=False)

    def explain(self, request: Request) -> Response:
        """Show what today's code and settings decide about the stored inputs of a delivery."""
        delivery = self._find(request)
        found = self.services.explanations.of(delivery)
        return self.pages.render(request, "explain.html", delivery=delivery, findings=found, zone=_zone(delivery))

    def show_customer(self, request: Request, form: Form) -> Response:
        """Show a delivery with the customer's data, and record who asked for them, and why."""
        delivery = self._find(request)
        by = Operator(request.scope["user"], form.get("reason", "").strip())
        if not by.reason:
            return self._page(request, delivery, customer=False, error="Write your reason.", status=422)
        self.services.operations.show_customer(delivery.id, by)
        return self._page(request, delivery, customer=True)

    def show_candidates(self, request: Request, _form: Form) -> Response:
        """Ask the carrier for the orders near the create of a delivery whose carrier's id is not known, and show them.

        This is a form and not a link, because it uses calls of the account's rate limit.
        """
        delivery = self._find(request)
        search = self._search(delivery)
        buttons = [
            [choose(delivery, each.order.ref)] if each.blocker is None and each.order.ref else []
            for each in search.candidates
        ]
        return self.pages.render(
            request,
            "candidates.html",
            delivery=delivery,
            search=search,
            rows=list(zip(search.candidates, buttons, strict=True)),
            actions=possible_actions(delivery),
            zone=_zone(delivery),
        )

    def _search(self, delivery: Delivery) -> CarrierSearch:
        if not _SEARCHING.acquire(blocking=False):
            raise HTTPException(503, "Other lists of carriers are being read. Try again in a moment.")
        try:
            search = self.services.candidates.search(delivery)
        finally:
            _SEARCHING.release()
        if search is None:
            raise HTTPException(404, "There is nothing left to look for: the carrier's number is known.")
        return search

    def _find(self, request: Request) -> Delivery:
        found = self.services.database.read(deliveries.load, [storable(request.path_params["id"])])
        if not found:
            raise HTTPException(404, "There is no such delivery.")
        return found[0]

    def _page(
        self, request: Request, delivery: Delivery, *, customer: bool, error: str | None = None, status: int = 200
    ) -> Response:
        terms = self.services.terms
        return self.pages.render(
            request,
            "delivery.html",
            status,
            error=error,
            delivery=delivery,
            customer=customer,
            zone=_zone(delivery),
            unidentified=unidentified_attempt(delivery),
            freshness=freshness_of(delivery),
            deadline=deadline_of(delivery, terms),
            actions=possible_actions(delivery),
            passed_over=lifecycle.unable_carriers(delivery, terms),
            tags={each.id: reference_of(each.id) for each in delivery.attempts},
            timeline=self.services.timelines.of(delivery),
        )


def _zone(delivery: Delivery) -> ZoneInfo:
    return ZoneInfo(delivery.store.timezone if delivery.store else "UTC")
