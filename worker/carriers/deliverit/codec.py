"""The codec of DeliverIt. It turns orders into requests, and replies into observations.

Every path is on the account's own origin, and no link of a reply is followed (D-02).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar
from zoneinfo import ZoneInfo

from schemas.status import DeliveryStatus, Reason
from worker.carriers.abilities import Listing
from worker.carriers.account import CarrierAccount
from worker.carriers.deliverit import attempt_state as state
from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.day_list import parse_day_list, read_day_list
from worker.carriers.deliverit.errors import (
    check_account,
    check_order_access,
    check_read,
    check_success,
    parse_answer,
    unreadable,
)
from worker.carriers.deliverit.listed_orders import compare_rows
from worker.carriers.deliverit.observations import DriverOrderReader
from worker.carriers.deliverit.request import TRANSFER, Requests, check_driver_order, check_transfer
from worker.carriers.deliverit.status import CANCEL_REFUSALS, MEANINGS
from worker.carriers.deliverit.transfer import TransferReader
from worker.carriers.deliverit.wire import is_token
from worker.carriers.port import (
    AttemptView,
    Booked,
    Booking,
    Cadence,
    Callback,
    CallbackKey,
    Capabilities,
    Observation,
    Raw,
    Reading,
)
from worker.errors import Forged, Refused, Unavailable, Unreadable
from worker.http.call import Call, Operation, Reply

SKEW = timedelta(minutes=1)
"""The largest expected difference between our clock and DeliverIt's at a cut-off (D-40)."""
FREE_UNTIL = timedelta(minutes=20)
POSSIBLE_UNTIL = timedelta(minutes=15)
HOTLINE = "+45 93 866 766"
COMPANY = re.compile(r"[1-9][0-9]{0,17}")


class DeliverIt:
    """The codec of one DeliverIt account.

    `facts` contains our company's number from the log-in; it is empty before the first log-in.
    """

    kind: ClassVar[str] = "deliverit"
    account_type: ClassVar[type[CarrierAccount]] = DeliverItAccount
    account: CarrierAccount
    capabilities: Capabilities
    needs_login: bool

    def __init__(self, account: CarrierAccount, facts: Mapping[str, str]) -> None:
        if not isinstance(account, DeliverItAccount):
            raise TypeError(f"DeliverIt needs a DeliverItAccount, not a {type(account).__name__}")
        self.account = self._settings = account
        company = account.company or facts.get("company")
        # a configured company needs a log-in too: a wrong one would give every create an unknown outcome (D-04)
        self.needs_login = company is None or company != facts.get("company")
        self._zone = ZoneInfo(account.timezone)
        self._requests = Requests(account, company, self._zone)
        # the readers accept an unknown company: Unavailable from them would mean that no order was created
        self._driver_orders = DriverOrderReader(company, self._zone, account.base_url)
        self._transfers = TransferReader(company, account.base_url)
        self._transfer_mode = account.mode == "transfer"
        self.capabilities = Capabilities(
            find=True,
            cadence=Cadence(fresh=30, moving=30, ahead=60, ceiling=60, aligned=True),
            track_batch=1000,
            max_creates=2,
            amends=self._transfer_mode,
            offers=not self._transfer_mode,
            max_shift=account.max_push,
            offer_wait=account.offer_wait,
            callbacks="none",
            max_body=10_000_000,
        )

    def check_order(self, booking: Booking, now: datetime) -> None:  # noqa: ARG002 - the port's signature
        """Raise Refused for an order that `book` would refuse; the text names the field of the order that is wrong."""
        if self._transfer_mode:
            check_transfer(booking)
        else:
            check_driver_order(booking, self._zone)

    def book(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Build POST orderdriver/create, with our reference at the start of the remarks (D-10).

        In transfer mode, build POST orderinfo/create. Then no driver comes until an operator books one (D-70).
        Raises Refused, and Unavailable while the company is unknown.
        """
        if self._transfer_mode:
            return self._requests.transfer(Operation.CREATE, booking, booking.attempt_id)
        return self._requests.create_driver_order(booking)

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the reply to a create. A 201 is a booking, an offer or a transfer (D-20 to D-23, D-72 to D-79).

        Raises Unavailable, Refused or Uncertain.
        """
        check_account(reply, now)
        if self._transfer_mode:
            return Booked(self._transfers.read_create(booking, reply))
        return self._driver_orders.read_create(booking, reply)

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Build a request for the list of each day that may show these attempts.

        A driver order without a `ref` is left out. A transferred order needs no `ref`: when an operator books a driver
        for it, the list gets a row with our reference.
        """
        known = [attempt for attempt in attempts if attempt.ref or state.is_transferred(attempt)]
        return self._requests.day_lists(Operation.READ, known, now)

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Build the requests that show whether the creates of these attempts succeeded (D-60).

        In book mode, the requests are for day lists, which show our reference. No day list shows a transferred order
        without a driver. In transfer mode, an attempt in the state `submit_unknown` is therefore transferred again.
        DeliverIt accepts our order number only once, so a repeated transfer never makes a second order (D-74). In any
        other state, the transfer is not repeated, because an operator may have decided that the order does not exist.
        For such an attempt, the day lists are requested.
        """
        lost = [each for each in attempts if self._transfer_mode and each.state == DeliveryStatus.SUBMIT_UNKNOWN]
        listed = [each for each in attempts if each not in lost]
        repeated = [call for each in lost if (call := self._repeat_transfer(each))]
        return repeated + self._requests.day_lists(Operation.FIND, listed, now)

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Read the reply to a request for a day list or to a repeated transfer. Raises Unavailable or Unreadable."""
        check_read(reply, now)
        if call.context == TRANSFER:
            return Reading({attempt.id: (self._transfers.read_repeated_create(reply),) for attempt in attempts})
        day = parse_day_list(reply, self._requests.company, self._zone)
        return read_day_list(call, day, attempts, now, self._zone)

    def sent_names(self, attempt: AttemptView) -> dict[str, str]:
        """Return the beginning of the remarks (D-10)."""
        return {"remarks": f"#{attempt.reference}", "order number": attempt.order.number}

    def list_near(self, attempt: AttemptView, now: datetime) -> list[Call]:
        """Build the requests for the day lists; return none in transfer mode, because they show no transfer (D-70)."""
        return [] if self._transfer_mode else self._requests.day_lists(Operation.QUERY, [attempt], now)

    def read_near(self, call: Call, reply: Reply, attempt: AttemptView, now: datetime) -> Listing:
        """Return the orders of one day, compared with the attempt."""
        check_read(reply, now)
        day = parse_day_list(reply, self._requests.company, self._zone)
        return Listing(compare_rows(day.rows, attempt, call.context, now, self._zone), complete=day.complete)

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Call:
        """Build the call that accepts or denies an offered time ("Accept push", "Deny push").

        The call may be repeated. Raises Refused when the reply to the create contained no link for this call.
        """
        action = "accept" if accept else "deny"
        token = attempt.codec_state.get(state.TOKENS[action])
        if not token:
            raise Refused(Reason.UNKNOWN, f"no {action} link is known; call DeliverIt {HOTLINE}")
        return self._requests.change_driver_order(Operation.CONFIRM, action, token, attempt)

    def read_confirmation(
        self,
        reply: Reply,
        attempt: AttemptView,
        *,
        accept: bool,
        now: datetime,
    ) -> Observation:
        """Read the reply to an accept or a deny (D-30 to D-34).

        A 401 raises Unreadable, because a 401 to these calls is about the order and not about the account (D-09).
        """
        check_order_access(reply, now)
        reader = self._driver_orders
        return reader.read_accept(attempt, reply) if accept else reader.read_deny(attempt, reply)

    def before_amend(self, attempt: AttemptView, now: datetime) -> Call | None:  # noqa: ARG002 - the port's signature
        """Return None: an update replaces the whole order, so no read is needed before it (D-77)."""
        return None

    def amend(self, attempt: AttemptView, current: Reply | None, now: datetime) -> Call | None:  # noqa: ARG002 - the port's
        """Build POST orderinfo/update, which may be repeated (DeliverIt, "Update customer info").

        Raises Refused for a driver order, which DeliverIt cannot change, and for a transferred order whose driver is
        booked, because that driver knows the old details.
        """
        if state.has_row(attempt) or not state.is_transferred(attempt):
            raise Refused(Reason.UNKNOWN, f"an order with a booked driver cannot be changed; call DeliverIt {HOTLINE}")
        number = state.order_number(attempt)
        if number is None:
            raise Refused(Reason.UNKNOWN, "DeliverIt's order number is not known")
        return self._requests.update_transfer(number, attempt)

    def read_amended(self, attempt: AttemptView, reply: Reply, now: datetime) -> Observation | None:
        """Read the reply to an update, which may contain new links and another price (D-76)."""
        check_order_access(reply, now)
        return self._transfers.read_update(reply, attempt)

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:
        """Build POST cancel (DeliverIt, "Cancel", "Destroy customer info").

        A cancel is free until 20 minutes before the pickup, charged after that, and impossible from 15 minutes before
        the pickup on (D-40). Because of clock skew, each of these two cut-offs counts one minute earlier.

        Raises Refused from the second cut-off on, and from the first one on if `allow_paid` is false. Raises Refused
        also if neither the order number nor the cancel link is known.

        A transferred order is cancelled by its order number, together with its driver. Without a driver, there is no
        cut-off.
        """
        number = state.order_number(attempt)
        # a row may show a newer link than the last reply (D-32)
        token = attempt.codec_state.get(state.CANCEL_TOKEN) or attempt.ref
        if number is None and not is_token(token):
            raise Refused(Reason.UNKNOWN, f"no cancel link is known; call DeliverIt {HOTLINE}")
        if state.has_row(attempt) or not state.is_transferred(attempt):
            _check_cut_offs(attempt, now, allow_paid=allow_paid)
        if number is not None:
            return self._requests.cancel_transfer(number, attempt)
        return self._requests.change_driver_order(Operation.CANCEL, "cancel", str(token), attempt)

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> Observation | None:
        """Read the reply to a cancel.

        Success is `error` false for a driver order (D-41), and `canceled` true for a transferred order (D-78).
        Raises Refused, Uncertain, Unreadable or Unavailable.
        """
        check_order_access(reply, None)
        if state.order_number(attempt) is not None:
            return self._transfers.read_cancel(reply, attempt)
        check_success(reply, CANCEL_REFUSALS, attempt.order)
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
        """Return nothing: DeliverIt sends no callbacks."""
        return ()

    def meanings(self, raw: Raw) -> frozenset[DeliveryStatus | None]:
        """Return the status of an entity and a code."""
        return frozenset({MEANINGS.get((raw.entity, raw.code))})

    def probe(self) -> Call:
        """Build the login (DeliverIt, "Login")."""
        return self._requests.login()

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Return the company from the login (D-04).

        Raises Unavailable when the login failed, Refused when the company is not the configured one, and Unreadable for
        an undocumented reply.
        """
        check_read(reply, None)
        answer = parse_answer(reply)
        if reply.status not in {HTTPStatus.OK, HTTPStatus.CREATED} or answer is None:
            raise unreadable(reply)
        if not answer.login:
            raise Unavailable("the login was refused", account=True)
        company = _confirm_company(answer.company, self._settings.company)
        if company is None:
            raise unreadable(reply)
        return {"company": company}

    def _repeat_transfer(self, attempt: AttemptView) -> Call | None:
        try:
            return self._requests.transfer(Operation.FIND, attempt, attempt.id)
        except Refused:  # an order that cannot be repeated must not delay the others of the batch
            return None


def _check_cut_offs(attempt: AttemptView, now: datetime, *, allow_paid: bool) -> None:
    remaining = state.latest_pickup(attempt) - now - SKEW
    if remaining <= POSSIBLE_UNTIL:
        raise Refused(Reason.DEADLINE_PASSED, f"the pickup is 15 minutes away or less; call DeliverIt {HOTLINE}")
    if remaining <= FREE_UNTIL and not allow_paid:
        raise Refused(Reason.DEADLINE_PASSED, "the pickup is 20 minutes away or less: only a paid cancel is possible")


def _confirm_company(stated: str | None, configured: str | None) -> str | None:
    """Return the company that the login states. If the login states none, return the configured company.

    Raises Refused when the two companies differ.
    """
    company = stated if stated and COMPANY.fullmatch(stated) else None
    if company and configured and company != configured:
        raise Refused(Reason.CONFIG, f"the login belongs to company {company}, the setting says {configured}")
    return company or configured
