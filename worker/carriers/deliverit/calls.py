"""The calls of one account, described: each starts at the account's own origin and carries its authorization (D-05)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.days import by_day
from worker.carriers.deliverit.links import details_path, path_of
from worker.carriers.deliverit.request import NUMBERS, TEXTS, Types, authorization, details_of, encode
from worker.carriers.port import AttemptView, Booking
from worker.errors import Unavailable
from worker.http.call import Call, Operation

TRANSFER = "transfer"
"""Tells the answer to a transfer from a day list, when it comes back."""


class Calls:
    """Describes calls; most name the company in their path, and raise Unavailable while it is unknown."""

    def __init__(self, account: DeliverItAccount, company: str | None, zone: ZoneInfo) -> None:
        self._account, self._known_company, self._zone = account, company, zone

    @property
    def company(self) -> str:
        """Tell the company's number. Raises Unavailable."""
        if self._known_company is None:
            raise Unavailable("the company is not known before the first login")
        return self._known_company

    def lists(self, operation: Operation, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Ask for single days: the document contradicts itself on which end of a range comes first (D-50)."""
        return [
            Call(
                operation,
                "GET",
                f"/api/v1/order/{self.company}/{day}/{day}",
                tuple(covers),
                headers=self._headers(),
                context=day.isoformat(),
            )
            for day, covers in by_day(attempts, now, self._zone).items()
        ]

    def act(self, operation: Operation, verb: str, token: str, attempt: AttemptView) -> Call:
        """Accept, deny or cancel a driver order."""
        path = path_of(verb, self.company, token)
        return Call(operation, "POST", path, (attempt.id,), headers=self._headers(), context=verb)

    def transfer(self, operation: Operation, subject: Booking | AttemptView, attempt_id: int) -> Call:
        """Hand an order over (DeliverIt, "Send customer Info"). Raises Refused."""
        fields = details_of(subject, self._zone)
        path = f"/api/v1/orderinfo/{self.company}/create"
        return self.post(operation, path, fields, (attempt_id,), types=TEXTS, memo=TRANSFER)

    def update(self, number: str, attempt: AttemptView) -> Call:
        """Replace a transferred order (DeliverIt, "Update customer info"). Raises Refused."""
        fields = details_of(attempt, self._zone)
        path = details_path("update", self.company, number)
        return self.post(Operation.AMEND, path, fields, (attempt.id,), types=TEXTS)

    def destroy(self, number: str, attempt: AttemptView) -> Call:
        """Take a transferred order back (DeliverIt, "Destroy customer info")."""
        path = details_path("cancel", self.company, number)
        return Call(Operation.CANCEL, "POST", path, (attempt.id,), headers=self._headers())

    def post(
        self,
        operation: Operation,
        path: str,
        fields: Mapping[str, str],
        covers: tuple[int, ...] = (),
        *,
        types: Types = NUMBERS,
        memo: str = "",
    ) -> Call:
        """Send fields in the account's encoding."""
        content_type, body = encode(fields, self._account.encoding, types)
        headers = (*self._headers(), ("Content-Type", content_type))
        return Call(operation, "POST", path, covers, headers=headers, body=body, context=memo)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return ("Authorization", authorization(self._account)), ("Accept", "application/json")
