"""DeliverIt as a carrier: our words into described requests, and their replies into observations.

Every path starts at the account's own origin; no link of theirs is ever followed (D-02).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar
from zoneinfo import ZoneInfo

from schemas.status import DeliveryStatus, Reason
from worker.carriers.account import CarrierAccount
from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.answers import Reader, read_company
from worker.carriers.deliverit.calls import TRANSFER, Calls
from worker.carriers.deliverit.days import read_list
from worker.carriers.deliverit.links import is_token
from worker.carriers.deliverit.progress import latest_pickup_of
from worker.carriers.deliverit.replies import answer_of, check_account, check_done, check_read, check_resource, unread
from worker.carriers.deliverit.request import fields_of
from worker.carriers.deliverit.rows import read_day
from worker.carriers.deliverit.status import CANCEL_REFUSALS
from worker.carriers.deliverit.transfer import TransferReader, is_booked, is_transferred, number_of
from worker.carriers.port import (
    AttemptView,
    Booked,
    Booking,
    Cadence,
    Callback,
    CallbackKey,
    Capabilities,
    Observation,
    Reading,
)
from worker.errors import Forged, Refused, Unavailable, Unreadable
from worker.http.call import Call, Operation, Reply

SKEW = timedelta(minutes=1)
"""What our clock and theirs may differ at a cut-off (D-40)."""
FREE_UNTIL = timedelta(minutes=20)
POSSIBLE_UNTIL = timedelta(minutes=15)
HOTLINE = "+45 93 866 766"


class DeliverIt:
    """The codec of one DeliverIt account (DeliverIt API, "Order a driver"); `facts` hold the company from the login."""

    kind: ClassVar[str] = "deliverit"
    account_type: ClassVar[type[CarrierAccount]] = DeliverItAccount
    account: CarrierAccount
    capabilities: Capabilities
    needs_login: bool

    def __init__(self, account: CarrierAccount, facts: Mapping[str, str]) -> None:
        if not isinstance(account, DeliverItAccount):
            raise TypeError(f"DeliverIt needs a DeliverItAccount, not a {type(account).__name__}")
        self.account = self._settings = account
        self._known_company = account.company or facts.get("company")
        # one login for each account, even when its company is set: a wrong one would leave every create in doubt (D-04)
        self.needs_login = self._known_company is None or self._known_company != facts.get("company")
        self._zone = ZoneInfo(account.timezone)
        self._calls = Calls(account, self._known_company, self._zone)
        self._hands_over = account.mode == "transfer"
        self.capabilities = Capabilities(
            find=True,
            cadence=Cadence(fresh=30, moving=30, ahead=60, ceiling=60, together=True),
            track_batch=1000,
            max_creates=2,
            amends=self._hands_over,
            max_shift=account.max_push,
            offer_wait=account.offer_wait,
            callbacks="none",
            max_body=10_000_000,
        )

    def check_order(self, booking: Booking, now: datetime) -> None:
        """Raise Refused when `book` would."""
        self.book(booking, now)

    def book(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Describe POST orderdriver/create, with our tag at the start of the remarks (D-10). Raises Refused.

        In transfer mode it is POST orderinfo/create, for which nobody drives until a person books a driver (D-70).
        """
        if self._hands_over:
            return self._calls.transfer(Operation.CREATE, booking, booking.attempt_id)
        fields = fields_of(booking, self._zone)
        _ = self._calls.company  # without it the links in the answer could not be checked (D-02)
        return self._calls.post(Operation.CREATE, "/api/v1/orderdriver/create", fields, covers=(booking.attempt_id,))

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the answer to a create: 201 with or without an offer, or 400 (D-20 to D-23, D-72 to D-79)."""
        check_account(reply, now)
        return (
            Booked(self._transfers.created(booking, reply)) if self._hands_over else self._reader.booked(booking, reply)
        )

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Describe one day list for each day that may hold these attempts; those without a `ref` are left out.

        A transferred order needs none: whoever books its driver leaves our tag in the row.
        """
        known = [attempt for attempt in attempts if attempt.ref or is_transferred(attempt)]
        return self._calls.lists(Operation.READ, known, now)

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Describe the day lists in which an attempt's tag must show if its create went through (D-60).

        A transfer in doubt shows in none. It is sent again instead: our number is taken only once, so whether the
        first one was lost, answered in vain or comes late, one order stands there afterwards, and never two (D-74).
        Only while it is in doubt: what a person has written off would be made anew.
        """
        lost = [each for each in attempts if self._hands_over and each.state == DeliveryStatus.SUBMIT_UNKNOWN]
        listed = [each for each in attempts if each not in lost]
        again = [call for each in lost if (call := self._again(each))]
        return again + self._calls.lists(Operation.FIND, listed, now)

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Read one day's list about these attempts, or a transfer sent again. Raises Unavailable or Unreadable."""
        check_read(reply, now)
        if call.context == TRANSFER:
            return Reading({attempt.id: (self._transfers.found(reply),) for attempt in attempts})
        return read_list(call, read_day(reply, self._calls.company, self._zone), attempts, now, self._zone)

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Call:
        """Describe accepting or denying the offered time (DeliverIt, "Accept push", "Deny push"); both may be repeated.

        Raises Refused when the create's answer held no such link.
        """
        verb = "accept" if accept else "deny"
        token = attempt.codec_state.get(verb)
        if not token:
            raise Refused(Reason.UNKNOWN, f"no {verb} link is known; call DeliverIt {HOTLINE}")
        return self._calls.act(Operation.CONFIRM, verb, token, attempt)

    def read_confirmation(
        self,
        reply: Reply,
        attempt: AttemptView,
        *,
        accept: bool,
        now: datetime,
    ) -> Observation:
        """Read the answer to accept or deny (D-30 to D-34). A 401 is about the one order (D-09): Unreadable."""
        check_resource(reply, now)
        return self._reader.accepted(attempt, reply) if accept else self._reader.denied(attempt, reply)

    def before_amend(self, attempt: AttemptView, now: datetime) -> Call | None:  # noqa: ARG002 - the port's signature
        """Describe nothing: an update replaces the whole order (D-77)."""
        return None

    def amend(self, attempt: AttemptView, standing: Reply | None, now: datetime) -> Call | None:  # noqa: ARG002 - the port's
        """Describe POST orderinfo/update (DeliverIt, "Update customer info"); it leads to the same when repeated.

        Raises Refused for a driver order, which has no update, and once a driver is booked: he was told the old words.
        """
        if is_booked(attempt) or not is_transferred(attempt):
            raise Refused(Reason.UNKNOWN, f"what a driver is booked for cannot be changed; call DeliverIt {HOTLINE}")
        number = number_of(attempt)
        if number is None:
            raise Refused(Reason.UNKNOWN, "DeliverIt's number of the order is not known")
        return self._calls.update(number, attempt)

    def read_amended(self, attempt: AttemptView, reply: Reply, now: datetime) -> Observation | None:
        """Read the answer to an update: its links may be new ones, and the price another (D-76)."""
        check_resource(reply, now)
        return self._transfers.updated(reply, attempt)

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:
        """Describe POST cancel: free until 20 minutes before pickup, impossible from 15 on, charged between (D-40).

        A transferred order is cancelled by its own number, its driver with it, and at any time while it has none.
        Raises Refused past a cut-off, with a minute's margin, and when no cancel link is known.
        """
        number = number_of(attempt)
        token = (
            attempt.codec_state.get("cancel") or attempt.ref
        )  # a row may show a newer link than the last answer (D-32)
        if number is None and not is_token(token):
            raise Refused(Reason.UNKNOWN, f"no cancel link is known; call DeliverIt {HOTLINE}")
        if is_booked(attempt) or not is_transferred(attempt):
            _check_cut_offs(attempt, now, allow_paid=allow_paid)
        if number is not None:
            return self._calls.destroy(number, attempt)
        return self._calls.act(Operation.CANCEL, "cancel", str(token), attempt)

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> Observation | None:
        """Return on 200 with `error` false (D-41), or `canceled` true for a transferred order (D-78).

        Raises Refused, Uncertain, Unreadable or Unavailable.
        """
        check_resource(reply, None)
        if number_of(attempt) is not None:
            return self._transfers.cancelled(reply, attempt)
        check_done(reply, CANCEL_REFUSALS, attempt.order)
        return None

    def authenticate(self, callback: Callback) -> None:  # noqa: ARG002 - the port's signature
        """Raise Forged: DeliverIt sends no callbacks."""
        raise Forged("DeliverIt sends no callbacks")

    def callback_key(self, callback: Callback) -> CallbackKey:  # noqa: ARG002 - the port's signature
        """Raise Unreadable: DeliverIt sends no callbacks."""
        raise Unreadable("DeliverIt sends no callbacks")

    def read_callback(
        self,
        callback: Callback,  # noqa: ARG002 - the port's signature
        attempt: AttemptView,  # noqa: ARG002 - the port's signature
        now: datetime,  # noqa: ARG002 - the port's signature
    ) -> tuple[Observation, ...]:
        """Say nothing: DeliverIt sends no callbacks."""
        return ()

    def probe(self) -> Call:
        """Describe the login (DeliverIt, "Login")."""
        password = self._settings.password.get_secret_value()
        fields = {"username": self._settings.username, "password": password}
        return self._calls.post(Operation.PROBE, "/api/v1/login", fields)

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

    def _again(self, attempt: AttemptView) -> Call | None:
        try:
            return self._calls.transfer(Operation.FIND, attempt, attempt.id)
        except Refused:  # what cannot be said again is left to a person, without its neighbours
            return None

    @property
    def _reader(self) -> Reader:
        # not the calls' company: raising Unavailable after a create was sent would deny that it may have happened
        return Reader(self._known_company, self._zone, self.account.base_url)

    @property
    def _transfers(self) -> TransferReader:
        return TransferReader(self._known_company, self.account.base_url)


def _check_cut_offs(attempt: AttemptView, now: datetime, *, allow_paid: bool) -> None:
    left = latest_pickup_of(attempt) - now - SKEW
    if left <= POSSIBLE_UNTIL:
        raise Refused(Reason.DEADLINE_PASSED, f"the pickup is 15 minutes away or less; call DeliverIt {HOTLINE}")
    if left <= FREE_UNTIL and not allow_paid:
        raise Refused(Reason.DEADLINE_PASSED, "the pickup is 20 minutes away or less: only a paid cancel is left")
