"""DeliverIt's driver orders: Basic authorization, offers of another time, a day list of display strings.

Its links are written as in the document's examples, on hosts that are not the sandbox; nobody should follow them.
"""

import base64
import builtins
import secrets
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox import deliverit_words as words
from worker.sandbox import lives
from worker.sandbox.deliverit_words import Trip
from worker.sandbox.lives import Life
from worker.sandbox.world import Json, Operation, World, read_form

NEEDED = ["firstname", "street", "zip", "time", "telephone", "latitude", "longitude"]
TOO_LATE, FREE = timedelta(minutes=15), timedelta(minutes=20)
REFUSALS = {"closed": "Sorry. DeliverIt is closed.", "refused": "Street cannot be empty"}


class DeliverIt:
    """Login, create, accept, deny, cancel and the day list (deliverit.txt)."""

    name = "deliverit"
    dead = frozenset({"offered", "lapsed", "denied", "cancelled"})

    def __init__(self, world: World) -> None:
        self._world = world
        self.company = world.config.deliverit_company
        self.zone = ZoneInfo(world.config.deliverit_timezone)
        self.orders: dict[str, Trip] = {}
        self._acceptable: dict[str, Trip] = {}
        self._days: defaultdict[str, list[Trip]] = defaultdict(list)

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

    def denied(self, request: Request) -> Response | None:
        """Refuse other Basic credentials; login carries them in its body (D-03, D-05)."""
        if request.url.path.endswith("/login") or self._knows(request.headers.get("authorization", "")):
            return None
        return Json({"error": True, "message": words.STRANGER}, 401)

    async def login(self, request: Request) -> Response:
        """Answer 201 with the company's id, or 401 (deliverit.txt, "Login")."""
        form, config = await read_form(request), self._world.config
        if (form.get("username"), form.get("password")) != (config.deliverit_username, config.deliverit_password):
            return Json({"login": False, "msg": "nope, try again"}, 401)
        return Json({"login": True, "company": self.company, "msg": "Welcome"}, 201)

    async def create(self, request: Request) -> Response:
        """Book a driver, or offer another time (deliverit.txt, "Send delivery request")."""
        form, now = await read_form(request), self._world.now()
        requested = words.requested_time(str(form.get("time")), now, self.zone)
        fault = _fault(form) or REFUSALS.get(lives.script_in("deliverit", form.get("remarks")))
        if fault or requested is None or requested < now - timedelta(minutes=5):
            message = fault or "Time is not valid"
            return Json({"DeliverItOpen": True, "error": True, "message": message}, 400)
        return Json(words.confirmation(self.book(form, requested), self.company, self.zone), 201)

    async def accept(self, request: Request) -> Response:
        """Accept an offered time (deliverit.txt, "Accept push"; D-30, D-33)."""
        if not self.is_own(request):
            return Json({"DeliverItOpen": True, "order_driver": False, "message": words.STRANGER}, 401)
        trip, now = self._acceptable.get(request.path_params["id"]), self._world.now()
        word = trip.life.word(now) if trip else "lapsed"
        if trip is None or word in ("lapsed", "denied"):
            return Json({"DeliverItOpen": True, "order_driver": False, "message": words.CANNOT_ACCEPT}, 400)
        if word == "offered":
            self.take(trip, now)
            return Json(words.acceptance(trip, self.company, self.zone), 202)
        cancel = words.link(words.CREATE_HOST, "cancel", self.company, trip.id)
        nothing = {"DeliverItOpen": True, "order_driver": False, "message": words.ALREADY_ACCEPTED}
        return Json({**nothing, "cancelurl": cancel})

    async def deny(self, request: Request) -> Response:
        """Decline an offered time (deliverit.txt, "Deny push"; D-34)."""
        trip, now = self._acceptable.get(request.path_params["id"]), self._world.now()
        if not self.is_own(request) or trip is None or trip.life.word(now) != "offered":
            return Json({"error": True, "message": words.STRANGER}, 400)
        self._end(trip, now, "deny", "denied")
        return Json({"error": False, "message": words.DENIED})

    async def cancel(self, request: Request) -> Response:
        """Cancel a driver while the pickup is far enough away (deliverit.txt, "Cancel"; D-40 to D-42)."""
        trip, now = self.orders.get(request.path_params["id"]), self._world.now()
        if not self.is_own(request) or trip is None:
            return Json({"error": True, "message": words.STRANGER}, 401)
        word, left = trip.life.word(now), trip.pickup - now
        if word in ("lapsed", "denied", "cancelled"):
            return Json({"error": True, "message": words.ALREADY_CANCELLED})
        if word not in ("booked", "offered") or left <= TOO_LATE:
            return Json({"error": True, "message": words.UNDERWAY}, 400)
        self._end(trip, now, "cancel", "cancelled", free=left > FREE)
        return Json({"error": False, "message": words.CANCELLED})

    async def list(self, request: Request) -> Response:
        """Return the rows from `end` to `start`, which "has to be bigger" (D-50 to D-61)."""
        if not self.is_own(request):
            return Json({"error": True, "message": words.STRANGER}, 401)
        start, end = request.path_params["start"], request.path_params["end"]
        days = [start] if start == end else sorted(day for day in self._days if end <= day <= start)
        rows = [found for day in days for found in self._rows(day)]
        if not rows:
            return Json({"error": True, "message": words.NOT_LISTED}, 404)
        return Json({"error": False, "orders": rows, "message": words.LISTED})

    def is_own(self, request: Request) -> bool:
        """Return whether the path names our company."""
        return bool(request.path_params["company"] == str(self.company))

    def book(self, form: dict[str, Any], requested: datetime) -> Trip:
        """Create the trip that a form asks for, shifted where its script offers another time."""
        world, now = self._world, self._world.now()
        script = lives.script_in("deliverit", form.get("remarks"))
        trip = Trip(
            id=world.token(20),
            reference=words.tag_in(form),
            script=script,
            created=now,
            life=self._life(script, now),
            number=world.number(),
            form=form,
            pickup=requested + lives.OFFERS.get(script, timedelta()),
            offer=world.token(20) if script in lives.OFFERS else None,
        )
        self.orders[trip.id] = self._acceptable[trip.offer or trip.id] = trip
        world.ledger.note(now, self.name, "offer" if trip.offer else "create", trip.reference, trip.id)
        if not trip.offer:
            self._list_on_its_day(trip)
        return trip

    def take(self, trip: Trip, now: datetime) -> None:
        """Book an offered trip, which changes its cancel link (D-32)."""
        del self.orders[trip.id]
        trip.id = self._world.token(20)
        self.orders[trip.id] = trip
        trip.life.restart(now, lives.DELIVERIT["happy"], timedelta(seconds=self._world.config.step))
        self._world.ledger.note(now, self.name, "accept", trip.reference, trip.id)
        self._list_on_its_day(trip)

    def _life(self, script: str, now: datetime) -> Life:
        config = self._world.config
        if script in lives.OFFERS:
            return Life(("offered", "lapsed"), now, timedelta(seconds=config.deliverit_offer_limit))
        return lives.begin(lives.DELIVERIT, script, now, config.step)

    def _end(self, trip: Trip, now: datetime, action: str, word: str, **detail: object) -> None:
        trip.life.turn(now, word)
        self._world.ledger.note(now, self.name, action, trip.reference, trip.id, **detail)

    def _list_on_its_day(self, trip: Trip) -> None:
        self._days[trip.pickup.astimezone(self.zone).date().isoformat()].append(trip)

    def _rows(self, day: str) -> builtins.list[dict[str, Any]]:
        trips, now = self._days.get(day, []), self._world.now()
        ours = [words.row(trip, self.company, now, self.zone) for trip in trips]
        return [*words.neighbour_rows(day, self.company), *ours] if ours else []

    def _knows(self, given: str) -> bool:
        config = self._world.config
        pair = f"{config.deliverit_username}:{config.deliverit_password}".encode()
        return secrets.compare_digest(given.encode(), b"Basic " + base64.b64encode(pair))


def _fault(form: dict[str, Any]) -> str | None:
    """Return what is wrong with the fields, in the document's words where it has any."""
    for name in NEEDED:
        if form.get(name) in ("", None):
            return f"{name.capitalize()} cannot be empty"
    telephone = str(form["telephone"])
    if not telephone.isdecimal() or telephone.startswith("00"):
        return "Telephone is not valid"
    wrong = [name for name in ("zip", "latitude", "longitude") if not _is_number(form[name])]
    return f"{wrong[0].capitalize()} is not valid" if wrong else None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
