"""The codec of Borzo's Business API 1.6: our words in, described requests out; their replies in, observations out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from schemas.status import Reason
from worker.carriers.account import CarrierAccount
from worker.carriers.borzo import signature
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.amendment import edit_order
from worker.carriers.borzo.enquiries import Enquiries, ref_of
from worker.carriers.borzo.faults import Fault, after_writing, problem_of
from worker.carriers.borzo.listing import (
    CHUNK,
    PAGE,
    SHORT_PAGE,
    Group,
    Page,
    chunks,
    halves,
    load_groups,
    missing,
    scan,
    store_groups,
)
from worker.carriers.borzo.memory import Known
from worker.carriers.borzo.replies import (
    absent,
    booked,
    called_back,
    count_in,
    event_in,
    extras,
    found,
    key_of,
    orders_in,
    polled,
)
from worker.carriers.borzo.request import create_order
from worker.carriers.borzo.sighting import see_order
from worker.carriers.borzo.wire import order_of, success
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
from worker.errors import Refused, Unreadable
from worker.http.call import Call, Operation, Reply

_WITH_CALLBACKS = Cadence(300, 300, 300, 300, unheard=60, together=True)  # B-87: a safety poll
_BY_POLLING = Cadence(fresh=60, moving=60, ahead=300, ceiling=300, together=True)


class Borzo(Enquiries):
    """One account at Borzo (Business API 1.6)."""

    kind: ClassVar[str] = "borzo"
    account_type: ClassVar[type[CarrierAccount]] = BorzoAccount

    def __init__(self, account: CarrierAccount, facts: Mapping[str, str]) -> None:  # noqa: ARG002 - the port's signature
        super().__init__(account)
        self.needs_login = False
        self.capabilities = Capabilities(
            find=True,
            cadence=_WITH_CALLBACKS if self.borzo.callback_secrets else _BY_POLLING,
            track_batch=CHUNK,
            max_creates=2,
            callbacks="signed",
            amends=True,
        )

    def check_order(self, booking: Booking, now: datetime) -> None:
        """Raise Refused when `book` would."""
        self.book(booking, now)

    def book(self, booking: Booking, now: datetime) -> Call:
        """Describe create-order (Borzo, "Placing an order"). Raises Refused naming the field."""
        parameters = create_order(booking, self.borzo, now)
        return self.post(Operation.CREATE, "create-order", parameters, (booking.attempt_id,))

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the answer; a success has an `order_id` (B-04), a repeated create's duplicate is Uncertain (B-31)."""
        document = success(reply)
        raw_order = order_of(document.get("order")) if document else None
        if raw_order is None:
            raise after_writing(reply, now, repeated=booking.attempt_number > 1)
        return Booked(booked(raw_order, booking, now))

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Describe one list request for every fifty orders (Borzo, "List of orders", B-15)."""
        refs = list(dict.fromkeys(attempt.ref for attempt in attempts if attempt.ref))
        return [self._list_by_id(group, [], attempts) for group in chunks(refs)]

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Describe the newest-first list, which one look-up of all these attempts walks through (B-60)."""
        return [self._list_newest(attempts, Page())] if attempts else []

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Read a list. Absence is said on the last page only, and never of a range with an unreadable order."""
        if call.operation is Operation.FIND:
            return self._read_found(call, reply, attempts, now)
        asked = tuple(value for name, value in call.query if name == "order_id[]")
        groups = load_groups(call.context)
        problem = problem_of(reply)
        if problem and problem.fault is Fault.VALIDATION and (len(asked) > 1 or groups):
            return Reading(next_page=self._next(halves(asked) + groups, attempts))
        orders = {str(order.order_id): order for order in map(order_of, orders_in(reply, now)) if order}
        rest = missing(asked, {ref for ref in asked if ref in orders})
        return Reading(observations=polled(attempts, asked, orders, now), next_page=self._next(rest + groups, attempts))

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Call:  # noqa: ARG002 - the port's signature
        """Refuse: Borzo offers nothing that could be confirmed."""
        raise Refused(Reason.UNKNOWN, "Borzo offers nothing to confirm")

    def read_confirmation(
        self,
        reply: Reply,  # noqa: ARG002 - the port's signature
        attempt: AttemptView,  # noqa: ARG002
        *,
        accept: bool,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> Observation:
        """Refuse, as there is nothing to confirm."""
        raise Refused(Reason.UNKNOWN, "Borzo offers nothing to confirm")

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:  # noqa: ARG002 - no paid window here
        """Describe cancel-order (Borzo, "Canceling an order"). Whether it is too late, only Borzo knows (B-99)."""
        return self.post(Operation.CANCEL, "cancel-order", {"order_id": ref_of(attempt)}, (attempt.id,))

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> None:  # noqa: ARG002 - the port's signature
        """Return when Borzo took the cancel; raise Refused with `order_cannot_be_canceled` when it did not."""
        if success(reply) is None:
            raise after_writing(reply)

    def before_amend(self, attempt: AttemptView, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Describe the read of the order as it stands. Raises Refused while its id is not known."""
        return self.get(
            Operation.FIND, "orders", (("order_id[]", str(ref_of(attempt))),), (attempt.id,)
        )  # no poll: B-06

    def amend(self, attempt: AttemptView, standing: Reply | None, now: datetime) -> Call | None:
        """Describe edit-order (Borzo, "Order editing"): every point and package by its id, and what is to change.

        None when the order says so already. Raises Refused, and Unreadable when what stands cannot be seen.
        """
        if standing is None:
            raise Unreadable("how the order stands was not read")
        listed = [raw_order for raw_order in orders_in(standing, now) if _ref_of(raw_order) == attempt.ref]
        if not listed:
            raise Unreadable("the order is not in the list")
        parameters = edit_order(listed[0], attempt, self.borzo, now)
        return self.post(Operation.AMEND, "edit-order", parameters, (attempt.id,)) if parameters else None

    def read_amended(self, attempt: AttemptView, reply: Reply, now: datetime) -> Observation | None:
        """Read the changed order as it is now; Refused with `order_cannot_be_edited` when it was too late (B-98)."""
        document = success(reply)
        if document is None:
            raise after_writing(reply, now)
        order = order_of(document.get("order"))
        if order is None or str(order.order_id) != attempt.ref:
            return None
        return see_order(order, Known.of_attempt(attempt), now, polled=True)

    def authenticate(self, callback: Callback) -> None:
        """Raise Forged unless the body is signed with one of our secrets (B-81, B-91)."""
        signature.verify(callback.body, callback.headers.get(signature.HEADER), self.borzo.callback_secrets)

    def callback_key(self, callback: Callback) -> CallbackKey:
        """Name the order and, when it carries our tag, the attempt (B-86, B-88). Raises Unreadable."""
        key = key_of(event_in(callback))
        if key == CallbackKey():
            raise Unreadable("the callback names neither an order nor one of our tags")
        return key

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
        """Read a callback with what is remembered; empty when it is about another order or another point (B-88)."""
        seen = called_back(event_in(callback), attempt, now)
        return (seen,) if seen else ()

    def _read_found(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        sought = [attempt for attempt in attempts if attempt.id in call.attempt_ids]
        if not sought:
            return Reading()
        page = Page.load(call.context)
        scanned = scan(orders_in(reply, now), page, sought, count_in(reply))
        fresh = [attempt for attempt in sought if attempt.id in scanned.hits and attempt.id not in page.found]
        return Reading(
            observations={attempt.id: (found(scanned.hits[attempt.id][0], attempt, now),) for attempt in fresh},
            absent=absent(sought, page.found, scanned.hits) if scanned.proves_absence else frozenset(),
            next_page=self._list_newest(sought, scanned.following) if scanned.following else None,
            duplicates=extras(scanned.hits, page.found),
        )

    def _next(self, groups: list[Group], attempts: Sequence[AttemptView]) -> Call | None:
        return self._list_by_id(groups[0], groups[1:], attempts) if groups else None

    def _list_by_id(self, group: Group, later: list[Group], attempts: Sequence[AttemptView]) -> Call:
        refs = {ref for refs in (group, *later) for ref in refs}
        covers = tuple(attempt.id for attempt in attempts if attempt.ref in refs)
        # B-50: in the field a page without a count holds ten; should Borzo refuse the count, the halves go without it
        count = (("count", str(len(group))),) if len(group) > SHORT_PAGE else ()
        call = self.get(Operation.READ, "orders", (*(("order_id[]", ref) for ref in group), *count))
        return replace(call, attempt_ids=covers, context=store_groups(later))

    def _list_newest(self, attempts: Sequence[AttemptView], page: Page) -> Call:
        """Describe a page; the first is asked for bare, as documented, and the others as public integrations do."""
        window = (("offset", str(page.offset)), ("count", str(PAGE))) if page.offset else ()
        call = self.get(Operation.FIND, "orders", window)
        return replace(call, attempt_ids=tuple(attempt.id for attempt in attempts), context=page.store())


def _ref_of(raw_order: object) -> str | None:
    order = order_of(raw_order)
    return str(order.order_id) if order else None
