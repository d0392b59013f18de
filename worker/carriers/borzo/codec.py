"""The codec of Borzo's Business API 1.6. It turns an order into a request, and a reply into observations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from schemas.status import DeliveryStatus, Reason
from worker.carriers.abilities import Listing
from worker.carriers.account import CarrierAccount
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.amendment import edit_order
from worker.carriers.borzo.attempt_state import AttemptMemory
from worker.carriers.borzo.callbacks import SIGNATURE_HEADER, read_event, read_key, verify_signature
from worker.carriers.borzo.errors import ErrorClass, parse_problem, write_error
from worker.carriers.borzo.listed_orders import compare_orders
from worker.carriers.borzo.listing import (
    CHUNK,
    PAGE,
    SHORT_PAGE,
    Group,
    Position,
    absent,
    chunks,
    dump_groups,
    duplicates,
    halves,
    left_out,
    load_groups,
    orders_in,
    search,
    total_in,
)
from worker.carriers.borzo.observations import observe_created, observe_found, observe_order, observe_tracked
from worker.carriers.borzo.queries import Queries, order_id_of
from worker.carriers.borzo.request import check_order, create_order
from worker.carriers.borzo.status import meanings
from worker.carriers.borzo.wire import parse_order, parse_success
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
from worker.errors import Refused, Unreadable
from worker.http.call import Call, Operation, Reply

_BESIDE_CALLBACKS = Cadence(
    300, 300, 300, 300, without_callbacks=60, aligned=True
)  # B-87: callbacks may be missed, so orders are also polled
_BY_POLLING = Cadence(fresh=60, moving=60, ahead=300, ceiling=300, aligned=True)


class Borzo(Queries):
    """One account at Borzo (Business API 1.6)."""

    kind: ClassVar[str] = "borzo"
    account_type: ClassVar[type[CarrierAccount]] = BorzoAccount

    def __init__(self, account: CarrierAccount, facts: Mapping[str, str]) -> None:  # noqa: ARG002 - the port's signature
        super().__init__(account)
        self.needs_login = False
        self.capabilities = Capabilities(
            find=True,
            cadence=_BESIDE_CALLBACKS if self.settings.callback_secrets else _BY_POLLING,
            track_batch=CHUNK,
            max_creates=2,
            callbacks="signed",
            callback_entities=("order", "delivery"),
            amends=True,
        )

    def check_order(self, booking: Booking, now: datetime) -> None:  # noqa: ARG002 - the port's signature
        """Raise Refused, naming the field, when `book` would refuse the order."""
        check_order(booking, self.settings)

    def book(self, booking: Booking, now: datetime) -> Call:
        """Build create-order (Borzo, "Placing an order"). Raises Refused, naming the field."""
        parameters = create_order(booking, self.settings, now)
        return self.post(Operation.CREATE, "create-order", parameters, (booking.attempt_id,))

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Return the booking; a success has an `order_id` (B-04).

        If a repeated create is refused as a duplicate, the outcome is Uncertain (B-31).
        """
        document = parse_success(reply)
        raw_order = parse_order(document.get("order")) if document else None
        if raw_order is None:
            raise write_error(reply, now, repeated=booking.attempt_number > 1)
        return Booked(observe_created(raw_order, booking))

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Build one list request for every fifty orders (Borzo, "List of orders", B-15)."""
        refs = list(dict.fromkeys(attempt.ref for attempt in attempts if attempt.ref))
        return [self._list_by_id(group, [], attempts) for group in chunks(refs)]

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Build the request for the newest orders. The reply is searched for all these attempts at once (B-60)."""
        return [self._list_newest(attempts, Position())] if attempts else []

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Return the observations of a list.

        An order counts as absent only after the last page, and only if every order on the pages was readable.
        """
        if call.operation is Operation.FIND:
            return self._read_found(call, reply, attempts, now)
        requested = tuple(value for name, value in call.query if name == "order_id[]")
        groups = load_groups(call.context)
        problem = parse_problem(reply)
        if problem and problem.error_class is ErrorClass.VALIDATION and (len(requested) > 1 or groups):
            return Reading(next_page=self._next_page(halves(requested) + groups, attempts))
        orders = {str(order.order_id): order for order in map(parse_order, orders_in(reply, now)) if order}
        rest = left_out(requested, {ref for ref in requested if ref in orders})
        return Reading(
            observations=observe_tracked(attempts, requested, orders),
            next_page=self._next_page(rest + groups, attempts),
        )

    def sent_names(self, attempt: AttemptView) -> dict[str, str]:
        """Return our reference, and the order's number in the note to the courier."""
        return {"client_order_id": attempt.reference, "note": f"Order {attempt.order.number}"}

    def list_near(self, attempt: AttemptView, now: datetime) -> list[Call]:  # noqa: ARG002 - the ability's signature
        """Build the request for the newest orders; further pages lead back to the create (Borzo, "List of orders")."""
        return [self._list_newest([attempt], Position(), Operation.QUERY)]

    def read_near(self, call: Call, reply: Reply, attempt: AttemptView, now: datetime) -> Listing:
        """Return the orders of one page, compared with the attempt."""
        raw_orders = orders_in(reply, now)
        result = search(raw_orders, Position.load(call.context), [attempt], total_in(reply))
        following = result.next_position
        return Listing(
            compare_orders(raw_orders, attempt),
            complete=result.proves_absence,
            next_page=self._list_newest([attempt], following, Operation.QUERY) if following else None,
        )

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Call:  # noqa: ARG002 - the port's signature
        """Raise Refused, because Borzo makes no offers."""
        raise Refused(Reason.UNKNOWN, "Borzo offers nothing to confirm")

    def read_confirmation(
        self,
        reply: Reply,  # noqa: ARG002 - the port's signature
        attempt: AttemptView,  # noqa: ARG002
        *,
        accept: bool,  # noqa: ARG002
        now: datetime,  # noqa: ARG002
    ) -> Observation:
        """Raise Refused, because Borzo makes no offers."""
        raise Refused(Reason.UNKNOWN, "Borzo offers nothing to confirm")

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:  # noqa: ARG002 - no paid window here
        """Build cancel-order (Borzo, "Canceling an order"). Only Borzo knows whether it is too late (B-99)."""
        return self.post(Operation.CANCEL, "cancel-order", {"order_id": order_id_of(attempt)}, (attempt.id,))

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> None:  # noqa: ARG002 - the port's signature
        """Check that Borzo accepted the cancel. Raises Refused on `order_cannot_be_canceled`."""
        if parse_success(reply) is None:
            raise write_error(reply)

    def before_amend(self, attempt: AttemptView, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Build the read of the current order. Raises Refused while the order's id is not known."""
        # A FIND and not a READ, because reads may have to wait for the rate limit (B-06).
        return self.get(Operation.FIND, "orders", (("order_id[]", str(order_id_of(attempt))),), (attempt.id,))

    def amend(self, attempt: AttemptView, current: Reply | None, now: datetime) -> Call | None:
        """Build edit-order (Borzo, "Order editing"), which lists points and packages by their ids, with their changes.

        None when nothing differs. Raises Refused when the order cannot be changed, and Unreadable when `current` does
        not show the order.
        """
        if current is None:
            raise Unreadable("the current order was not read")
        listed = [raw_order for raw_order in orders_in(current, now) if _ref_of(raw_order) == attempt.ref]
        if not listed:
            raise Unreadable("the order is not in the list")
        parameters = edit_order(listed[0], attempt, self.settings, now)
        return self.post(Operation.AMEND, "edit-order", parameters, (attempt.id,)) if parameters else None

    def read_amended(self, attempt: AttemptView, reply: Reply, now: datetime) -> Observation | None:
        """Return what the reply shows of the changed order; None when it does not show the order's status.

        Raises Refused on `order_cannot_be_edited` (B-98).
        """
        document = parse_success(reply)
        if document is None:
            raise write_error(reply, now)
        order = parse_order(document.get("order"))
        if order is None or str(order.order_id) != attempt.ref:
            return None
        return observe_order(order, AttemptMemory.from_attempt(attempt), polled=True)

    def authenticate(self, callback: Callback) -> None:
        """Raise Forged unless the body is signed with one of our secrets (B-81, B-91)."""
        verify_signature(callback.body, callback.headers.get(SIGNATURE_HEADER), self.settings.callback_secrets)

    def callback_key(self, callback: Callback) -> CallbackKey:
        """Return Borzo's order id and, from our reference, the attempt's id (B-86, B-88).

        Raises Unreadable for a callback that has neither.
        """
        return read_key(callback)

    def read_callback(
        self,
        callback: Callback,
        attempt: AttemptView,
        now: datetime,  # noqa: ARG002 - callbacks are ordered by Borzo's clock alone
    ) -> tuple[Observation, ...]:
        """Return what a callback reports; empty when it has no status, or is about another order or point (B-88)."""
        seen = read_event(callback, attempt)
        return (seen,) if seen else ()

    def meanings(self, raw: Raw) -> frozenset[DeliveryStatus | None]:
        """Return every status that one of Borzo's statuses may mean."""
        return meanings(raw)

    def _read_found(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        searched = [attempt for attempt in attempts if attempt.id in call.attempt_ids]
        if not searched:
            return Reading()
        position = Position.load(call.context)
        result = search(orders_in(reply, now), position, searched, total_in(reply))
        fresh = [attempt for attempt in searched if attempt.id in result.hits and attempt.id not in position.found]
        return Reading(
            observations={attempt.id: (observe_found(result.hits[attempt.id][0], attempt),) for attempt in fresh},
            absent=absent(searched, position.found, result.hits) if result.proves_absence else frozenset(),
            next_page=self._list_newest(searched, result.next_position) if result.next_position else None,
            duplicates=duplicates(result.hits, position.found),
        )

    def _next_page(self, groups: list[Group], attempts: Sequence[AttemptView]) -> Call | None:
        return self._list_by_id(groups[0], groups[1:], attempts) if groups else None

    def _list_by_id(self, group: Group, later: list[Group], attempts: Sequence[AttemptView]) -> Call:
        refs = {ref for refs in (group, *later) for ref in refs}
        attempt_ids = tuple(attempt.id for attempt in attempts if attempt.ref in refs)
        # B-50: by default a page holds ten orders; a small group needs no `count`, which Borzo might refuse
        count = (("count", str(len(group))),) if len(group) > SHORT_PAGE else ()
        call = self.get(Operation.READ, "orders", (*(("order_id[]", ref) for ref in group), *count))
        return replace(call, attempt_ids=attempt_ids, context=dump_groups(later))

    def _list_newest(
        self, attempts: Sequence[AttemptView], position: Position, operation: Operation = Operation.FIND
    ) -> Call:
        """Build the request for one page.

        Further pages need `offset` and `count`. The document lacks them, but public integrations use them.
        """
        window = (("offset", str(position.offset)), ("count", str(PAGE))) if position.offset else ()
        call = self.get(operation, "orders", window)
        return replace(call, attempt_ids=tuple(attempt.id for attempt in attempts), context=position.dump())


def _ref_of(raw_order: object) -> str | None:
    order = parse_order(raw_order)
    return str(order.order_id) if order else None
