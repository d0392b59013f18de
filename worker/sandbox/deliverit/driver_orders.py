"""DeliverIt's driver orders: Basic authentication, offers of another pickup time, a day list whose values are texts.

Links have the hosts of the document's examples, not the sandbox's host, so a client must not follow the links.
"""

import base64
import builtins
import secrets
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox import scenarios
from worker.sandbox.api import PLAIN_ERRORS, Json, Operation, read_fields
from worker.sandbox.deliverit import trip as trips
from worker.sandbox.deliverit.trip import Trip
from worker.sandbox.scenarios import Scenario
from worker.sandbox.world import World

REQUIRED = ["firstname", "street", "zip", "time", "telephone", "latitude", "longitude"]
CANCEL_LIMIT, FREE_CANCEL_LIMIT = timedelta(minutes=15), timedelta(minutes=20)
"""A driver can be cancelled until 15 minutes before the pickup, and free of charge until 20 minutes before it."""
REFUSALS = {"closed": "Sorry. DeliverIt is closed.", "refused": "Street cannot be empty"}

NOT_ALLOWED = "You should not be here"
LISTED = "Here are the orders you are looking for"
NOT_LISTED = "No order is found. Are the dates correct?."
CANNOT_ACCEPT = "You cannot accept this anymore. Time limit reached or order does not exist. Please create new order"
ALREADY_ACCEPTED = "You have already accepted this trip or it has not been pushed. Nothing to do"
DENIED = "The order is now canceled"
CANCELLED = "Okay, the order is canceled"
ALREADY_CANCELLED = "The order is already canceled"
UNDERWAY = "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766"


class DriverOrders:
    """Login, create, accept, deny, cancel and the day list (deliverit.txt)."""

    name = "deliverit"
    inactive_statuses = frozenset({"offered", "lapsed", "denied", "cancelled"})
    error_replies = PLAIN_ERRORS

    def __init__(self, world: World) -> None:
        self._world = world
        self.company = world.config.deliverit_company
        self.zone = world.wall_clock(self.name, world.config.deliverit_timezone)
        self.orders: dict[str, Trip] = {}
        self._by_accept_token: dict[str, Trip] = {}
        self._by_day: defaultdict[str, list[Trip]] = defaultdict(list)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        driver = "/api/v1/orderdriver"
        return (
            Operation("list", "GET", "/api/v1/order/{company}/{start}/{end}", self.list),
            Operation("create", "POST", f"{driver}/create", self.create),
            Operation("accept", "POST", driver + "/accept/{company}/{id}", self.accept),
            Operation("deny", "POST", driver + "/deny/{company}/{id}", self.deny),
            Operation("cancel", "POST", driver + "/cancel/{company}/{id}", self.cancel),
            Operation("login", "POST", "/api/v1/login", self.login),
        )

    def authorize(self, request: Request) -> Response | None:
        """Return a 401 if the credentials of Basic authentication are wrong, otherwise None (D-03, D-05)."""
        if request.url.path.endswith("/login") or self._is_authenticated(request.headers.get("authorization", "")):
            return None
        return Json({"error": True, "message": NOT_ALLOWED}, 401)

    async def login(self, request: Request) -> Response:
        """Return a 201 with the company's id, or a 401 (deliverit.txt, "Login")."""
        form, config = await read_fields(request), self._world.config
        if (form.get("username"), form.get("password")) != (config.deliverit_username, config.deliverit_password):
            return Json({"login": False, "msg": "nope, try again"}, 401)
        return Json({"login": True, "company": self.company, "msg": "Welcome"}, 201)

    async def create(self, request: Request) -> Response:
        """Book a driver, or offer another time (deliverit.txt, "Send delivery request")."""
        form, now = await read_fields(request), self._world.now()
        requested = trips.parse_requested_time(str(form.get("time")), now, self.zone)
        error = _validate(form) or REFUSALS.get(scenarios.find_script(self.name, form.get("remarks")))
        if error or requested is None or requested < now - timedelta(minutes=5):
            message = error or "Time is not valid"
            return Json({"DeliverItOpen": True, "error": True, "message": message}, 400)
        return Json(trips.confirm_create(self.book(form, requested), self.company, self.zone), 201)

    async def accept(self, request: Request) -> Response:
        """Accept an offered time (deliverit.txt, "Accept push"; D-30, D-33)."""
        if not self.is_own_company(request):
            return Json({"DeliverItOpen": True, "order_driver": False, "message": NOT_ALLOWED}, 401)
        trip, now = self._by_accept_token.get(request.path_params["id"]), self._world.now()
        status = trip.scenario.status(now) if trip else "lapsed"
        if trip is None or status in ("lapsed", "denied"):
            return Json({"DeliverItOpen": True, "order_driver": False, "message": CANNOT_ACCEPT}, 400)
        if status == "offered":
            self.accept_offer(trip, now)
            return Json(trips.confirm_accept(trip, self.company, self.zone), 202)
        cancel = trips.build_link(trips.CREATE_HOST, "cancel", self.company, trip.id)
        unchanged = {"DeliverItOpen": True, "order_driver": False, "message": ALREADY_ACCEPTED}
        return Json({**unchanged, "cancelurl": cancel})

    async def deny(self, request: Request) -> Response:
        """Decline an offered time (deliverit.txt, "Deny push"; D-34)."""
        trip, now = self._by_accept_token.get(request.path_params["id"]), self._world.now()
        if not self.is_own_company(request) or trip is None or trip.scenario.status(now) != "offered":
            return Json({"error": True, "message": NOT_ALLOWED}, 400)
        self._end(trip, now, "deny", "denied")
        return Json({"error": False, "message": DENIED})

    async def cancel(self, request: Request) -> Response:
        """Cancel a driver while the pickup is far enough away (deliverit.txt, "Cancel"; D-40 to D-42)."""
        trip, now = self.orders.get(request.path_params["id"]), self._world.now()
        if not self.is_own_company(request) or trip is None:
            return Json({"error": True, "message": NOT_ALLOWED}, 401)
        status, left = trip.scenario.status(now), trip.pickup - now
        if status in ("lapsed", "denied", "cancelled"):
            return Json({"error": True, "message": ALREADY_CANCELLED})
        if status not in ("booked", "offered") or left <= CANCEL_LIMIT:
            return Json({"error": True, "message": UNDERWAY}, 400)
        self._end(trip, now, "cancel", "cancelled", free=left > FREE_CANCEL_LIMIT)
        return Json({"error": False, "message": CANCELLED})

    async def list(self, request: Request) -> Response:
        """Return the rows of the days from `end` to `start`.

        `start` is the later day, because one sentence of the document says that it "has to be bigger" (D-50 to D-61).
        """
        if not self.is_own_company(request):
            return Json({"error": True, "message": NOT_ALLOWED}, 401)
        start, end = request.path_params["start"], request.path_params["end"]
        days = [start] if start == end else sorted(day for day in self._by_day if end <= day <= start)
        rows = [row for day in days for row in self._rows(day)]
        if not rows:
            return Json({"error": True, "message": NOT_LISTED}, 404)
        return Json({"error": False, "orders": rows, "message": LISTED})

    def is_own_company(self, request: Request) -> bool:
        """Return whether the path contains our company's id."""
        return bool(request.path_params["company"] == str(self.company))

    def book(self, form: dict[str, Any], requested: datetime) -> Trip:
        """Create the trip that a form requests. A script of `OFFER_DELAYS` offers a later pickup time."""
        world, now = self._world, self._world.now()
        script = scenarios.find_script(self.name, form.get("remarks"))
        trip = Trip(
            id=world.new_token(20),
            reference=trips.find_tag(form),
            script=script,
            created=now,
            scenario=self._start(script, now),
            number=world.new_number(),
            form=form,
            pickup=requested + scenarios.OFFER_DELAYS.get(script, timedelta()),
            offer=world.new_token(20) if script in scenarios.OFFER_DELAYS else None,
        )
        self.orders[trip.id] = self._by_accept_token[trip.offer or trip.id] = trip
        world.ledger.record(now, self.name, "offer" if trip.offer else "create", trip.reference, trip.id)
        if not trip.offer:
            self._add_to_day(trip)
        return trip

    def accept_offer(self, trip: Trip, now: datetime) -> None:
        """Book an offered trip. The trip gets a new cancel link (D-32)."""
        del self.orders[trip.id]
        trip.id = self._world.new_token(20)
        self.orders[trip.id] = trip
        trip.scenario.restart(now, scenarios.DELIVERIT["happy"], timedelta(seconds=self._world.step()))
        self._world.ledger.record(now, self.name, "accept", trip.reference, trip.id)
        self._add_to_day(trip)

    def _start(self, script: str, now: datetime) -> Scenario:
        config = self._world.config
        if script in scenarios.OFFER_DELAYS:
            return Scenario(("offered", "lapsed"), now, timedelta(seconds=config.deliverit_offer_limit))
        return scenarios.start(scenarios.DELIVERIT, script, now, self._world.step())

    def _end(self, trip: Trip, now: datetime, action: str, status: str, **detail: object) -> None:
        trip.scenario.hold(now, status)
        self._world.ledger.record(now, self.name, action, trip.reference, trip.id, **detail)

    def _add_to_day(self, trip: Trip) -> None:
        self._by_day[trip.pickup.astimezone(self.zone).date().isoformat()].append(trip)

    def _rows(self, day: str) -> builtins.list[dict[str, Any]]:
        now = self._world.now()
        own = [trips.list_row(trip, self.company, now, self.zone) for trip in self._by_day.get(day, [])]
        return [*trips.other_customers_rows(day, self.company), *own] if own else []

    def _is_authenticated(self, authorization: str) -> bool:
        config = self._world.config
        pair = f"{config.deliverit_username}:{config.deliverit_password}".encode()
        return secrets.compare_digest(authorization.encode(), b"Basic " + base64.b64encode(pair))


def _validate(form: dict[str, Any]) -> str | None:
    """Return an error message about the first faulty field; None if every field is valid.

    Where the document has a message for a fault, that message is used.
    """
    for name in REQUIRED:
        if form.get(name) in ("", None):
            return f"{name.capitalize()} cannot be empty"
    telephone = str(form["telephone"])
    if not telephone.isdecimal() or telephone.startswith("00"):
        return "Telephone is not valid"
    invalid = [name for name in ("zip", "latitude", "longitude") if not _is_number(form[name])]
    return f"{invalid[0].capitalize()} is not valid" if invalid else None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
