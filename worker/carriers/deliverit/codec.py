"""DeliverIt as a carrier: our words into described requests, and their replies into observations.

Every path starts at the account's own origin; no link of theirs is ever followed (D-02).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import ClassVar
from zoneinfo import ZoneInfo

from schemas.status import Reason
from worker.carriers.account import Account
from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.answers import Reader, read_company
from worker.carriers.deliverit.links import is_token, path_of
from worker.carriers.deliverit.progress import latest_pickup_of, observe, pickup_of, vanished
from worker.carriers.deliverit.replies import answer_of, check_account, check_done, check_read, check_resource, unread
from worker.carriers.deliverit.request import authorization, encode, fields_of
from worker.carriers.deliverit.rows import DayList, Found, read_day
from worker.carriers.deliverit.status import CANCEL_REFUSALS
from worker.carriers.deliverit.times import local_day
from worker.carriers.port import (
    Attempt,
    Booked,
    Booking,
    Cadence,
    Call,
    Callback,
    CallbackKey,
    Capabilities,
    Observation,
    Operation,
    Reading,
    Reply,
)
from worker.errors import Forged, Refused, Unavailable, Unreadable

SKEW = timedelta(minutes=1)
"""What our clock and theirs may differ at a cut-off (D-40)."""
FREE_UNTIL = timedelta(minutes=20)
POSSIBLE_UNTIL = timedelta(minutes=15)
HOTLINE = "+45 93 866 766"

MIDNIGHT_SLACK = timedelta(minutes=5)
"""How long before or after our own time their day list may date a create (D-53)."""


class DeliverIt:
    """The codec of one DeliverIt account (DeliverIt API, "Order a driver"); `facts` hold the company from the login."""

    kind: ClassVar[str] = "deliverit"
    account_type: ClassVar[type[Account]] = DeliverItAccount
    account: Account
    capabilities: Capabilities
    needs_login: bool

    def __init__(self, account: Account, facts: Mapping[str, str]) -> None:
        if not isinstance(account, DeliverItAccount):
            raise TypeError(f"DeliverIt needs a DeliverItAccount, not a {type(account).__name__}")
        self.account = self._settings = account
        self._known_company = account.company or facts.get("company")
        # one login for each account, even when its company is set: a wrong one would leave every create in doubt (D-04)
        self.needs_login = self._known_company is None or self._known_company != facts.get("company")
        self._zone = ZoneInfo(account.timezone)
        self.capabilities = Capabilities(
            find=True,
            cadence=Cadence(fresh=30, moving=30, ahead=60, ceiling=60, together=True),
            track_batch=1000,
            max_creates=2,
            max_shift=account.max_push,
            callbacks="none",
            max_body=10_000_000,
        )

    def book(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Describe POST orderdriver/create, with our tag at the start of the remarks (D-10). Raises Refused."""
        _ = self._company  # without it the links in the answer could not be checked (D-02)
        fields = fields_of(booking, self._zone)
        return self._post(Operation.CREATE, "/api/v1/orderdriver/create", fields, covers=(booking.attempt_id,))

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the answer to a create: 201 with or without an offer, or 400 (D-20 to D-23)."""
        check_account(reply, now)
        return self._reader.booked(booking, reply)

    def track(self, attempts: Sequence[Attempt], now: datetime) -> list[Call]:
        """Describe one day list for each day that may hold these attempts; those without a `ref` are left out."""
        return self._lists(Operation.READ, [attempt for attempt in attempts if attempt.ref], now)

    def find(self, attempts: Sequence[Attempt], now: datetime) -> list[Call]:
        """Describe the day lists in which an attempt's tag must show if its create went through (D-60)."""
        return self._lists(Operation.FIND, attempts, now)

    def read(self, call: Call, reply: Reply, attempts: Sequence[Attempt], now: datetime) -> Reading:
        """Read one day's list about these attempts. Raises Unavailable or Unreadable.

        `absent` is said of a `find` only, and only of attempts the call covers, that were never seen on that day and
        that no untagged row looks like, in a list that could be read whole.
        """
        check_read(reply, now)
        day = read_day(reply, self._company, self._zone)
        rows = {attempt.id: row for attempt in attempts if (row := day.find(attempt))}
        gone = {attempt.id: vanished() for attempt in attempts if _is_gone(attempt, rows, call.memo)}
        seen = {
            attempt.id: observe(attempt, rows[attempt.id].sighting, call.memo, now, self._zone)
            for attempt in attempts
            if attempt.id in rows
        }
        return Reading(
            seen=seen | gone,
            absent=_absent(call, day, [attempt for attempt in attempts if attempt.id not in seen | gone]),
            extras={attempt_id: row.extras for attempt_id, row in rows.items() if row.extras},
        )

    def confirm(self, attempt: Attempt, *, accept: bool) -> Call:
        """Describe accepting or denying the offered time (DeliverIt, "Accept push", "Deny push"); both may be repeated.

        Raises Refused when the create's answer held no such link.
        """
        verb = "accept" if accept else "deny"
        token = attempt.refs.get(verb)
        if not token:
            raise Refused(Reason.UNKNOWN, f"no {verb} link is known; call DeliverIt {HOTLINE}")
        return self._act(Operation.CONFIRM, verb, token, attempt)

    def read_confirmation(
        self,
        reply: Reply,
        attempt: Attempt,
        *,
        accept: bool,
        now: datetime,
    ) -> Observation:
        """Read the answer to accept or deny (D-30 to D-34). A 401 is about the one order (D-09): Unreadable."""
        check_resource(reply, now)
        return self._reader.accepted(attempt, reply) if accept else self._reader.denied(reply)

    def cancel(self, attempt: Attempt, now: datetime, *, allow_paid: bool) -> Call:
        """Describe POST cancel: free until 20 minutes before pickup, impossible from 15 on, charged between (D-40).

        Raises Refused past a cut-off, with a minute's margin, and when no cancel link is known.
        """
        left = latest_pickup_of(attempt) - now - SKEW
        token = attempt.refs.get("cancel") or attempt.ref  # a row may show a newer link than the last answer (D-32)
        if token is None or not is_token(token):
            raise Refused(Reason.UNKNOWN, f"no cancel link is known; call DeliverIt {HOTLINE}")
        if left <= POSSIBLE_UNTIL:
            raise Refused(Reason.DEADLINE_PASSED, f"the pickup is 15 minutes away or less; call DeliverIt {HOTLINE}")
        if left <= FREE_UNTIL and not allow_paid:
            raise Refused(Reason.DEADLINE_PASSED, "the pickup is 20 minutes away or less: only a paid cancel is left")
        return self._act(Operation.CANCEL, "cancel", token, attempt)

    def read_cancel(self, reply: Reply, attempt: Attempt) -> None:  # noqa: ARG002 - the port's signature
        """Return only on 200 with `error` false (D-41). Raises Refused, Uncertain, Unreadable or Unavailable."""
        check_resource(reply, None)
        check_done(reply, CANCEL_REFUSALS)

    def authenticate(self, callback: Callback) -> None:  # noqa: ARG002 - the port's signature
        """Raise Forged: DeliverIt sends no callbacks."""
        raise Forged("DeliverIt sends no callbacks")

    def callback_key(self, callback: Callback) -> CallbackKey:  # noqa: ARG002 - the port's signature
        """Raise Unreadable: DeliverIt sends no callbacks."""
        raise Unreadable("DeliverIt sends no callbacks")

    def read_callback(
        self,
        callback: Callback,  # noqa: ARG002 - the port's signature
        attempt: Attempt,  # noqa: ARG002 - the port's signature
        now: datetime,  # noqa: ARG002 - the port's signature
    ) -> tuple[Observation, ...]:
        """Say nothing: DeliverIt sends no callbacks."""
        return ()

    def probe(self) -> Call:
        """Describe the login (DeliverIt, "Login")."""
        password = self._settings.password.get_secret_value()
        fields = {"username": self._settings.username, "password": password}
        return self._post(Operation.PROBE, "/api/v1/login", fields)

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Read the company from the login (D-04). Raises Unavailable when shut out, Refused for another company."""
        check_read(reply, None)
        answer = answer_of(reply)
        if reply.status not in {HTTPStatus.OK, HTTPStatus.CREATED} or answer is None:
            raise unread(reply)
        if not answer.login:
            raise Unavailable("the login was refused", account=True)
        company = read_company(reply, self._settings.company)
        if company is None:
            raise unread(reply)
        return {"company": company}

    @property
    def _company(self) -> str:
        if self._known_company is None:
            raise Unavailable("the company is not known before the first login")
        return self._known_company

    @property
    def _reader(self) -> Reader:
        # no `_company` here: raising Unavailable after a create was sent would deny that it may have happened
        return Reader(self._known_company, self._zone, self.account.base_url)

    def _lists(self, operation: Operation, attempts: Sequence[Attempt], now: datetime) -> list[Call]:
        covers = defaultdict(list)
        for attempt in attempts:
            for day in _days(attempt, now, self._zone):
                covers[day].append(attempt.id)
        return [self._list(operation, day, covers[day]) for day in sorted(covers)]

    def _list(self, operation: Operation, day: date, covers: Sequence[int]) -> Call:
        """Ask for a single day: the document contradicts itself on which end of a range comes first (D-50)."""
        path = f"/api/v1/order/{self._company}/{day}/{day}"
        return Call(operation, "GET", path, tuple(covers), headers=self._headers(), memo=day.isoformat())

    def _act(self, operation: Operation, verb: str, token: str, attempt: Attempt) -> Call:
        path = path_of(verb, self._company, token)
        return Call(operation, "POST", path, (attempt.id,), headers=self._headers(), memo=verb)

    def _post(self, operation: Operation, path: str, fields: dict[str, str], covers: tuple[int, ...] = ()) -> Call:
        content_type, body = encode(fields, self._settings.encoding)
        headers = (*self._headers(), ("Content-Type", content_type))
        return Call(operation, "POST", path, covers, headers=headers, body=body)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return ("Authorization", authorization(self._settings)), ("Accept", "application/json")


def _days(attempt: Attempt, now: datetime, zone: ZoneInfo) -> set[date]:
    """List the days that may show an attempt: nobody says whether creation or pickup files it (D-53)."""
    made = attempt.submitted_at
    moments = (made - MIDNIGHT_SLACK, made + MIDNIGHT_SLACK, attempt.pickup_at, pickup_of(attempt), now)
    return {local_day(moment, zone) for moment in (*moments, latest_pickup_of(attempt))}


def _is_gone(attempt: Attempt, rows: Mapping[int, Found], day: str) -> bool:
    return attempt.id not in rows and attempt.refs.get("day") == day


def _absent(call: Call, day: DayList, missing: Sequence[Attempt]) -> frozenset[int]:
    """Say who is certainly not in a day: only of a look-up, and only when every row could be read (D-60, D-61)."""
    if call.operation is not Operation.FIND or not day.whole:
        return frozenset()
    return frozenset(one.id for one in missing if one.id in call.covers and not day.may_hold(one))
