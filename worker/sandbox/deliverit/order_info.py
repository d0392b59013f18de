"""DeliverIt's customer details (orderinfo). They are stored for the merchant, who books a driver on the website.

No request returns the details, and the website does not show the details of unpaid orders (D-71). The script
`booked` books the driver at once. Without that script, a driver is booked only through the control endpoints.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox import scenarios
from worker.sandbox.api import PLAIN_ERRORS, Json, Operation, Order, read_fields
from worker.sandbox.deliverit.driver_orders import CANCEL_LIMIT, NOT_ALLOWED, DriverOrders
from worker.sandbox.deliverit.trip import INFO_HOST, Trip
from worker.sandbox.scenarios import Scenario
from worker.sandbox.world import World

REQUIRED_TO_CREATE = ["ordernumber", "name", "telephone", "street", "city", "zip", "paid"]
REQUIRED_TO_UPDATE = [*REQUIRED_TO_CREATE, "delivery"]
BOOKED_PICKUP = timedelta(minutes=30)
"""The time from a booking by hand to the pickup, unless the booking gives another time."""

_EIGHT_DIGITS = re.compile(r"[0-9]{8}")

FOR_DELIVERY, FOR_PICKUP = "This order is for delivery", "The customer will pick up this order"
NUMBER_TAKEN = "Order with that number exist. Please use unique number"
NUMBER_UNKNOWN = "Order with that number does not exist. Please use correct number"
ADDRESS_UNCLEAR = "Address is too messy. Cannot find latitude and longitude."
STRANGE_ERROR = "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt"
NOT_CANCELLED = "You cannot cancel an order, where the driver is booked, and there are less than 15 minutes til pickup."


@dataclass(slots=True, kw_only=True)
class CustomerDetails(Order):
    """The details of one customer and the trip booked for them, if any."""

    form: dict[str, Any]
    trip: Trip | None = None

    def can_be_booked(self, now: datetime) -> bool:
        """Return whether DeliverIt's website offers to book a driver."""
        return self.scenario.status(now) == "transferred" and _is_true(self.form["paid"]) and self.is_for_delivery

    @property
    def is_for_delivery(self) -> bool:
        """Return whether the order is delivered rather than collected by the customer."""
        return _is_true(self.form.get("delivery", True))

    def is_underway(self, now: datetime) -> bool:
        """Return whether it is too late to cancel the driver."""
        status = self.trip.scenario.status(now) if self.trip else "cancelled"
        if self.trip is None or status == "cancelled":
            return False
        return status != "booked" or self.trip.pickup - now < CANCEL_LIMIT


class OrderInfo:
    """Create, update and cancel (deliverit.txt, "Send customer Info" to "Destroy customer info")."""

    name = "deliverit_info"
    inactive_statuses = frozenset({"transferred", "booked", "cancelled"})
    error_replies = PLAIN_ERRORS

    def __init__(self, world: World, drivers: DriverOrders) -> None:
        self._world, self._drivers = world, drivers
        self.orders: dict[str, CustomerDetails] = {}
        self._used_numbers: set[str] = set()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        path = "/api/v1/orderinfo/{company}"
        return (
            Operation("create", "POST", path + "/create", self.create),
            Operation("update", "POST", path + "/{id}/update", self.update),
            Operation("cancel", "POST", path + "/{id}/cancel", self.cancel),
        )

    def authorize(self, request: Request) -> Response | None:
        """Return a 401 for wrong credentials and for the path of another company."""
        other_company = None if self._drivers.is_own_company(request) else _error(NOT_ALLOWED, 401)
        return self._drivers.authorize(request) or other_company

    async def create(self, request: Request) -> Response:
        """Store a customer's details under a new number (D-71 to D-75)."""
        form = await read_fields(request)
        missing = next(
            (f"Variable '{name}' cannot be empty" for name in REQUIRED_TO_CREATE if _blank(form, name)), None
        )
        error = missing or self._validate(form)
        return _error(error) if error else Json(self._confirm(self._store(form), "ok,"), 201)

    async def update(self, request: Request) -> Response:
        """Replace the details; the reply's `error` is true although the update succeeded (D-76, D-77)."""
        details, form = self.orders.get(request.path_params["id"]), await read_fields(request)
        missing = next((name for name in REQUIRED_TO_UPDATE if _blank(form, name)), None)
        if missing:
            return _error(f"Variable {missing} cannot be empty")
        if details is None or details.scenario.status(self._world.now()) == "cancelled":
            return _error(NUMBER_UNKNOWN)
        details.form = form
        self._world.ledger.record(self._world.now(), self.name, "edit", details.reference, details.id)
        self._book_if_scripted(details)
        return Json({**self._confirm(details, "Update ok,"), "error": True})

    async def cancel(self, request: Request) -> Response:
        """Cancel the details and their driver, unless the driver is on the way or due within 15 minutes (D-78)."""
        details, now = self.orders.get(request.path_params["id"]), self._world.now()
        if details is None:
            return _error(NUMBER_UNKNOWN)
        if details.is_underway(now):
            return Json({"error": False, "canceled": False, "message": NOT_CANCELLED}, 202)
        for order in filter(None, (details, details.trip)):
            order.scenario.hold(now, "cancelled")
        self._world.ledger.record(now, self.name, "cancel", details.reference, details.id)
        return Json({"error": False, "canceled": True, "message": "Cancellation ok,"})

    def book(self, details: CustomerDetails, pickup_in: timedelta = BOOKED_PICKUP) -> Trip:
        """Book a driver as the merchant does on the website; an offered pickup time is accepted."""
        form = {**details.form, "firstname": details.form["name"]}
        now = self._world.now()
        details.trip = self._drivers.book(form, now + pickup_in)
        if details.trip.offer:
            self._drivers.accept_offer(details.trip, now)
        details.scenario.hold(now, "booked")
        return details.trip

    def _validate(self, form: dict[str, Any]) -> str | None:
        if str(form["ordernumber"]) in self._used_numbers:
            return NUMBER_TAKEN
        if not _EIGHT_DIGITS.fullmatch(str(form["telephone"])):
            return "Variable 'telephone' is not valid"
        has_coordinates = not (_blank(form, "latitude") or _blank(form, "longitude"))
        has_number = any(character.isdigit() for character in str(form["street"]))
        script = scenarios.find_script("deliverit", form.get("remarks"))
        if script == "refused" or not (has_coordinates or has_number):
            return ADDRESS_UNCLEAR
        return STRANGE_ERROR if script == "closed" else None

    def _store(self, form: dict[str, Any]) -> CustomerDetails:
        world, now = self._world, self._world.now()
        details = CustomerDetails(
            id=world.new_token(15),
            reference=str(form["ordernumber"]),
            script=scenarios.find_script("deliverit", form.get("remarks")),
            created=now,
            scenario=Scenario(("transferred",), now, timedelta()),
            form=form,
        )
        self.orders[details.id] = details
        self._used_numbers.add(details.reference)
        world.ledger.record(now, self.name, "create", details.reference, details.id, paid=_is_true(form["paid"]))
        self._book_if_scripted(details)
        return details

    def _book_if_scripted(self, details: CustomerDetails) -> None:
        if details.script == "booked" and details.can_be_booked(self._world.now()):
            self.book(details)

    def _confirm(self, details: CustomerDetails, opening: str) -> dict[str, Any]:
        path = f"{INFO_HOST}/api/v1/orderinfo/{self._drivers.company}/{details.id}"
        return {
            "error": False,
            "message": opening + (FOR_DELIVERY if details.is_for_delivery else FOR_PICKUP),
            "distance_in_km": 10.35,
            "price_with_vat": 125,
            "update_url": f"{path}/update",
            "cancel_url": f"{path}/cancel",
        }


def _blank(form: dict[str, Any], name: str) -> bool:
    return form.get(name) in ("", None)


def _is_true(value: Any) -> bool:
    return value in (True, 1, "1", "true")


def _error(message: str, status: int = 400) -> Response:
    return Json({"error": True, "message": message}, status)
