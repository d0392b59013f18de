"""The first page, which is what needs an operator, and the list of deliveries."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from schemas.status import AttentionReason, DeliveryStatus
from worker.clock import AGE, parse_age
from worker.container import Container
from worker.database import search
from worker.database.measurements import Overview
from worker.database.search import ANY, Filter
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Delivery
from worker.domain.trouble import Trouble, deadline_of, freshness_of
from worker.web.desk.choices import Choice, choices, order_choices
from worker.web.desk.pages import Cached, Pages, storable

PAGE_SIZE, MOST_PAGES = 50, 100
AGE_PATTERN = re.compile(AGE, re.ASCII)


@dataclass(frozen=True)
class Card:
    """What the card of a trouble shows."""

    trouble: Trouble
    choices: Sequence[Choice]
    of_orders: Mapping[str, Sequence[Choice]]
    """The buttons of each order, by delivery id."""
    list_address: str | None
    """The list of all its orders; None if no filter matches them alone."""


@dataclass(frozen=True)
class Views:
    """Show what needs an operator, and the deliveries."""

    services: Container
    pages: Pages
    overview: Cached[Overview]

    def needs_you(self, request: Request) -> Response:
        """Show one card for each trouble, the worst first, and how the orders of the last day ended."""
        found = self.pages.snapshot.get()
        return self.pages.render(
            request,
            "needs_you.html",
            cards=[Card(each, choices(each), order_choices(each), _list_of(each)) for each in found.troubles],
            state=found.state,
            overview=self.overview.get() if found.state.stored else None,
        )

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def deliveries(self, request: Request) -> Response:
        """Show the deliveries that match the filters of the address, first those that need an operator."""
        query = request.query_params
        number = int(text) if (text := query.get("page", "1")).isdecimal() and len(text) < len("1000") else 1
        number = min(max(number, 1), MOST_PAGES)
        wanted = self._filter(query)
        found = self._read(search.search, wanted, PAGE_SIZE + 1, skip=(number - 1) * PAGE_SIZE)
        rows = [_row(each, self.services.terms) for each in found[:PAGE_SIZE]]
        more = len(found) > PAGE_SIZE and number < MOST_PAGES
        around = [
            (label, request.url.include_query_params(page=page).query)
            for label, page, exists in (("Previous page", number - 1, number > 1), ("Next page", number + 1, more))
            if exists
        ]
        return self.pages.render(
            request,
            "deliveries.html",
            rows=rows,
            query=query,
            around=around,
            statuses=list(DeliveryStatus),
            reasons=list(AttentionReason),
            accounts=sorted(self.services.codecs),
        )

    def _filter(self, query: Mapping[str, str]) -> Filter:
        """Return the filter that the address asks for. A value that does not exist matches everything."""
        status, attention, older = query.get("status", ""), query.get("attention", ""), query.get("older", "")
        now, text = self.services.clock(), query.get("text", "").strip()
        return Filter(
            unfinished=query.get("open") == "1",
            attention=attention if attention in {ANY, *AttentionReason} else None,
            status=DeliveryStatus(status) if status in list(DeliveryStatus) else None,
            carrier=query.get("carrier") or None,
            store=storable(query.get("store", "")) or None,
            before=now - parse_age(older) if AGE_PATTERN.fullmatch(older) else None,
            ids=self._named(text, now) if text else None,
        )

    def _named(self, text: str, now: datetime) -> tuple[str, ...]:
        """Return the ids of the deliveries with a number, or whose customer's phone number ends with these digits."""
        text = storable(text)
        found = self._read(search.find, text, list(self.services.codecs))
        return tuple(each.id for each in found or self._read(search.find_by_phone, text, now))

    def _read(self, query: Any, *arguments: Any, **named: Any) -> Any:
        return self.services.database.read(query, *arguments, **named)


def _list_of(trouble: Trouble) -> str | None:
    if trouble.kind not in set(AttentionReason) or trouble.count == 1:
        return None
    return f"/deliveries?{urlencode({'attention': trouble.kind, 'store': trouble.store_id or ''})}"


def _row(delivery: Delivery, terms: TermsByAccount) -> dict[str, Any]:
    attempt = delivery.active or next(reversed(delivery.attempts), None)
    return {
        "delivery": delivery,
        "carrier": attempt.carrier if attempt else delivery.carrier,
        "freshness": freshness_of(delivery),
        "deadline": deadline_of(delivery, terms),
    }
