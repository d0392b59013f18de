"""DeliverIt's customer details (orderinfo): stored for the merchant, who books a driver in DeliverIt's own pages.

Nothing reads them back, unpaid ones are not even shown there (D-71), and nobody drives until a driver is booked: by
the script `booked`, or at the operator's door.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox import lives
from worker.sandbox.deliverit import TOO_LATE, DeliverIt
from worker.sandbox.deliverit_words import INFO_HOST, STRANGER, Trip
from worker.sandbox.lives import Life
from worker.sandbox.world import Json, Operation, Order, World, read_form

CREATE_NEEDS = ["ordernumber", "name", "telephone", "street", "city", "zip", "paid"]
UPDATE_NEEDS = [*CREATE_NEEDS, "delivery"]
BOOKED_PICKUP = timedelta(minutes=30)

EIGHT_DIGITS = re.compile(r"[0-9]{8}")
FOR_DELIVERY, FOR_PICKUP = "This order is for delivery", "The customer will pick up this order"
TAKEN = "Order with that number exist. Please use unique number"
UNKNOWN = "Order with that number does not exist. Please use correct number"
MESSY = "Address is too messy. Cannot find latitude and longitude."
STRANGE = "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt"
NOT_CANCELLED = "You cannot cancel an order, where the driver is booked, and there are less than 15 minutes til pickup."


@dataclass(slots=True, kw_only=True)
class Details(Order):
    """One customer's details and the trip booked for them, if any."""

    form: dict[str, Any]
    trip: Trip | None = None

    def is_shown(self, now: datetime) -> bool:
        """Return whether DeliverIt's pages offer to book a driver for it."""
        return self.life.word(now) == "transferred" and _is_true(self.form["paid"]) and self.is_delivery

    @property
    def is_delivery(self) -> bool:
        """Return whether it is to be delivered at all."""
        return _is_true(self.form.get("delivery", True))

    def is_underway(self, now: datetime) -> bool:
        """Return whether a driver is so close that he cannot be cancelled."""
        word = self.trip.life.word(now) if self.trip else "cancelled"
        return self.trip is not None and word != "cancelled" and (word != "booked" or self.trip.pickup - now < TOO_LATE)


class DeliverItInfo:
    """Create, update and cancel (deliverit.txt, "Send customer Info" to "Destroy customer info")."""

    name = "deliverit_info"
    dead = frozenset({"transferred", "booked", "cancelled"})

    def __init__(self, world: World, drivers: DeliverIt) -> None:
        self._world, self._drivers = world, drivers
        self.orders: dict[str, Details] = {}
        self._taken: set[str] = set()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        path = "/api/v1/orderinfo/{company}"
        return (
            Operation("create", "POST", path + "/create", self.create),
            Operation("update", "POST", path + "/{id}/update", self.update),
            Operation("cancel", "POST", path + "/{id}/cancel", self.cancel),
        )

    def denied(self, request: Request) -> Response | None:
        """Refuse what the driver orders refuse, and other companies' paths."""
        stranger = None if self._drivers.is_own(request) else _refusal(STRANGER, 401)
        return self._drivers.denied(request) or stranger

    async def create(self, request: Request) -> Response:
        """Store a customer's details under a new number (D-71 to D-75)."""
        form = await read_form(request)
        fault = next((f"Variable '{name}' cannot be empty" for name in CREATE_NEEDS if _blank(form, name)), None)
        fault = fault or self._fault(form)
        return _refusal(fault) if fault else Json(self._reply(self._store(form), "ok,"), 201)

    async def update(self, request: Request) -> Response:
        """Replace the details; the reply's `error` is true although all is well (D-76, D-77)."""
        details, form = self.orders.get(request.path_params["id"]), await read_form(request)
        missing = next((name for name in UPDATE_NEEDS if _blank(form, name)), None)
        if missing:
            return _refusal(f"Variable {missing} cannot be empty")
        if details is None or details.life.word(self._world.now()) == "cancelled":
            return _refusal(UNKNOWN)
        details.form = form
        self._world.ledger.note(self._world.now(), self.name, "edit", details.reference, details.id)
        self._play(details)
        return Json({**self._reply(details, "Update ok,"), "error": True})

    async def cancel(self, request: Request) -> Response:
        """Forget the details, unless a driver comes within 15 minutes (D-78)."""
        details, now = self.orders.get(request.path_params["id"]), self._world.now()
        if details is None:
            return _refusal(UNKNOWN)
        if details.is_underway(now):
            return Json({"error": False, "canceled": False, "message": NOT_CANCELLED}, 202)
        for order in filter(None, (details, details.trip)):
            order.life.turn(now, "cancelled")
        self._world.ledger.note(now, self.name, "cancel", details.reference, details.id)
        return Json({"error": False, "canceled": True, "message": "Cancellation ok,"})

    def book(self, details: Details, pickup_in: timedelta = BOOKED_PICKUP) -> Trip:
        """Book a driver for details that are shown, at whatever time is free, as the merchant does in their pages."""
        form = {**details.form, "firstname": details.form["name"]}
        now = self._world.now()
        details.trip = self._drivers.book(form, now + pickup_in)
        if details.trip.offer:
            self._drivers.take(details.trip, now)
        details.life.turn(now, "booked")
        return details.trip

    def _fault(self, form: dict[str, Any]) -> str | None:
        if str(form["ordernumber"]) in self._taken:
            return TAKEN
        if not EIGHT_DIGITS.fullmatch(str(form["telephone"])):
            return "Variable 'telephone' is not valid"
        placed = not (_blank(form, "latitude") or _blank(form, "longitude"))
        script = lives.script_in("deliverit", form.get("remarks"))
        if script == "refused" or not (placed or any(letter.isdigit() for letter in str(form["street"]))):
            return MESSY
        return STRANGE if script == "closed" else None

    def _store(self, form: dict[str, Any]) -> Details:
        world, now = self._world, self._world.now()
        details = Details(
            id=world.token(15),
            reference=str(form["ordernumber"]),
            script=lives.script_in("deliverit", form.get("remarks")),
            created=now,
            life=Life(("transferred",), now, timedelta()),
            form=form,
        )
        self.orders[details.id] = details
        self._taken.add(details.reference)
        world.ledger.note(now, self.name, "create", details.reference, details.id, paid=_is_true(form["paid"]))
        self._play(details)
        return details

    def _play(self, details: Details) -> None:
        if details.script == "booked" and details.is_shown(self._world.now()):
            self.book(details)

    def _reply(self, details: Details, opening: str) -> dict[str, Any]:
        path = f"{INFO_HOST}/api/v1/orderinfo/{self._drivers.company}/{details.id}"
        return {
            "error": False,
            "message": opening + (FOR_DELIVERY if details.is_delivery else FOR_PICKUP),
            "distance_in_km": 10.35,
            "price_with_vat": 125,
            "update_url": f"{path}/update",
            "cancel_url": f"{path}/cancel",
        }


def _blank(form: dict[str, Any], name: str) -> bool:
    return form.get(name) in ("", None)


def _is_true(value: Any) -> bool:
    return value in (True, 1, "1", "true")


def _refusal(message: str, status: int = 400) -> Response:
    return Json({"error": True, "message": message}, status)
