"""The pages that show something. None of them changes anything but the record of who looked at a message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.status import AttentionReason, DeliveryStatus
from worker.clock import AGE, parse_age
from worker.container import Container
from worker.database import accounts, deliveries, inbox, operator_actions, search
from worker.database.accounts import EVERY_ACCOUNT
from worker.database.search import ANY, Filter
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Delivery
from worker.domain.operator import Operator
from worker.domain.trouble import deadline_of
from worker.web.desk.access import Form
from worker.web.desk.actions import choices
from worker.web.desk.pages import Pages, storable

PAGE_SIZE, MOST_PAGES = 50, 100
NO_LETTER = "This message is not waiting: it was replayed or discarded."
AGE_PATTERN = re.compile(AGE, re.ASCII)
LETTERS_LISTED, ACTIONS_LISTED = 200, 30


@dataclass(frozen=True)
class Views:
    """Show what needs an operator, the deliveries, the carriers, the messages and the system."""

    services: Container
    pages: Pages

    def needs_you(self, request: Request) -> Response:
        """Show one card for each trouble, the worst first."""
        state = self.pages.snapshot.state()
        counts = self._read(deliveries.status_counts) if state.stored else {}
        cards = [(trouble, choices(trouble)) for trouble in self.pages.snapshot.troubles()]
        return self.pages.render(
            request,
            "needs_you.html",
            cards=cards,
            state=state,
            under_way=sum(counts.values()) if state.stored else None,
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

    # --- carriers, messages and the system ----------------------------------------------------------------------------

    def carriers(self, request: Request) -> Response:
        """Show the accounts: pauses, breakers, budgets, unmapped and mapped statuses."""
        paused, unmapped = self._read(accounts.paused), self._read(accounts.unmapped_statuses)
        mapped, services = self._read(accounts.status_mappings), self.services
        rows = [
            {
                "name": name,
                "kind": account.kind,
                "pause": paused.get(name),
                "breakers": services.breaker.statuses(name),
                "budget": services.rate_limiter.used(name, account.rate),
                "unmapped": [each for each in unmapped.get(name, []) if each not in mapped.get(name, {})],
                "mapped": mapped.get(name, {}),
            }
            for name, account in sorted(services.api_accounts.items())
        ]
        return self.pages.render(request, "carriers.html", rows=rows, held=paused.get(EVERY_ACCOUNT))

    def messages(self, request: Request) -> Response:
        """Show the messages that could not be read."""
        return self.pages.render(request, "messages.html", letters=self._read(inbox.dead_letters, LETTERS_LISTED))

    def message(self, request: Request) -> Response:
        """Show why a message could not be read. Its text, which may have a customer's data, is left out."""
        letter = self._read(inbox.dead_letter, storable(request.path_params["id"]))
        if letter is None:
            raise HTTPException(404, NO_LETTER)
        return self.pages.render(request, "message.html", letter=letter, text=None)

    def message_text(self, request: Request, _form: Form) -> Response:
        """Show the text of a message that could not be read, and record that it was shown."""
        by = Operator(request.scope["user"])
        letter = self.services.operations.show_letter(storable(request.path_params["id"]), by)
        if letter is None:
            raise HTTPException(404, NO_LETTER)
        return self.pages.render(
            request, "message.html", letter=letter, text=letter.raw.decode("utf-8", "backslashreplace")
        )

    def system(self, request: Request) -> Response:
        """Show the workers, beat, the last sweep, the outbox, the streams, and what operators did last."""
        state = self.services.system_health.measure()
        acted = self._read(operator_actions.newest, ACTIONS_LISTED)
        return self.pages.render(request, "system.html", state=state, acted=acted)

    def _read(self, query: Any, *arguments: Any, **named: Any) -> Any:
        return self.services.database.read(query, *arguments, **named)


def _row(delivery: Delivery, terms: TermsByAccount) -> dict[str, Any]:
    attempt = delivery.active or next(reversed(delivery.attempts), None)
    return {
        "delivery": delivery,
        "carrier": attempt.carrier if attempt else delivery.carrier,
        "heard_at": delivery.active.heard_at if delivery.active else None,
        "deadline": deadline_of(delivery, terms),
    }
