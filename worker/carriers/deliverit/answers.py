"""What the answers say about one order ("Send delivery request", "Accept push", "Deny push").

A 201 alone confirms nothing: it may carry an offer of another time (D-20).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from schemas.status import DeliveryStatus, Reason
from worker.carriers.deliverit.links import Link, read_link, stand_in
from worker.carriers.deliverit.progress import CURRENCY, pickup_of
from worker.carriers.deliverit.replies import answer_of, check_done, refusal_of, unexplained
from worker.carriers.deliverit.rows import remember_token
from worker.carriers.deliverit.status import ACCEPT_REFUSALS, ALREADY_ACCEPTED, BOOKED, CREATE_REFUSALS, DENY_REFUSALS
from worker.carriers.deliverit.times import TOLERANCE, is_ambiguous, moment, whole_minute
from worker.carriers.deliverit.wire import RawAnswer
from worker.carriers.port import AttemptView, Booked, Booking, Observation, Offer, Price, Raw
from worker.errors import Refused, Uncertain
from worker.http.call import Reply

LONGEST_REFERENCE = 32
COMPANY = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads answers for one company; `origin` is the account's own, whose host the links should name.

    While the company is unknown no link can be trusted, so a create that needs one stays in doubt.
    """

    company: str | None
    zone: ZoneInfo
    origin: str

    def booked(self, booking: Booking, reply: Reply) -> Booked:
        """Read the answer to a create. Raises Refused or Uncertain."""
        answer = answer_of(reply)
        if reply.status == HTTPStatus.BAD_REQUEST and answer and answer.error:
            raise refusal_of(answer, CREATE_REFUSALS, booking.order)
        if reply.status != HTTPStatus.CREATED or answer is None or not answer.order_driver:  # D-22
            raise unexplained(reply)
        status = BOOKED.get((bool(answer.push), answer.accept_url is not None))
        if status is None:
            raise Uncertain("push and acceptUrl contradict each other")  # D-21
        return self._offered(booking, answer) if answer.push else self._placed(booking, answer)

    def accepted(self, attempt: AttemptView, reply: Reply) -> Observation:
        """Read the answer to an accept; repeated, it is answered 200 (D-33). Raises Refused or Uncertain."""
        answer = answer_of(reply)
        if reply.status == HTTPStatus.BAD_REQUEST:
            raise refusal_of(answer, ACCEPT_REFUSALS, attempt.order)
        if answer is None or not _is_accepted(reply, answer, attempt):
            raise unexplained(reply)
        link = self._link(answer.cancel_url, "cancel")
        pickup = moment(answer.time, pickup_of(attempt), self.zone) or pickup_of(attempt)
        agreed = {"pickup": pickup.isoformat(), "pickup_shown": pickup.isoformat()}
        return Observation(
            status=DeliveryStatus.CREATED,
            raw=Raw("accept", str(reply.status)),
            ref=link.token if link else None,
            codec_state=agreed | remember_token(attempt, link.token if link else None),
            pickup_eta=pickup,
            dropoff_eta=self._arrival(answer, pickup),
            notes=self._link_notes(link),
        )

    def denied(self, attempt: AttemptView, reply: Reply) -> Observation:
        """Read the answer to a deny. Raises Refused or Uncertain."""
        check_done(reply, DENY_REFUSALS, attempt.order)
        return Observation(status=DeliveryStatus.REJECTED, raw=Raw("deny", "200"), reason=Reason.TIME_DENIED)

    def _placed(self, booking: Booking, answer: RawAnswer) -> Booked:
        asked = whole_minute(booking.pickup_at)
        pickup = moment(answer.time, asked, self.zone) or asked
        cancel = self._link(answer.cancel_url, "cancel")
        if cancel is None:
            raise Uncertain("created, but the cancel link cannot be read")  # the day list settles it by our tag
        moved = ("pickup_time_changed",) if abs(pickup - asked) > TOLERANCE else ()  # D-21
        links = {"cancel": cancel}
        return Booked(self._booked(booking, answer, DeliveryStatus.CREATED, pickup, links, moved))

    def _offered(self, booking: Booking, answer: RawAnswer) -> Booked:
        asked = whole_minute(booking.pickup_at)
        offered = moment(answer.time, asked, self.zone)
        urls = {"accept": answer.accept_url, "deny": answer.deny_url, "cancel": answer.cancel_url}
        links = {verb: link for verb, url in urls.items() if (link := self._link(url, verb))}
        if offered is None or "accept" not in links:
            raise Uncertain("an offer whose time or accept link cannot be read")
        observation = self._booked(booking, answer, DeliveryStatus.AWAITING_CONFIRMATION, offered, links, ())
        return Booked(observation, Offer(asked, offered))

    def _booked(
        self,
        booking: Booking,
        answer: RawAnswer,
        status: DeliveryStatus,
        pickup: datetime,
        links: dict[str, Link],
        notes: tuple[str, ...],
    ) -> Observation:
        tokens = {verb: link.token for verb, link in links.items()}
        twice = ("pickup_time_ambiguous",) if is_ambiguous(booking.pickup_at, self.zone) else ()  # D-14
        price = answer.delivery_price
        return Observation(
            status=status,
            raw=Raw("create", "push" if answer.push else "created"),
            ref=tokens.get("cancel", stand_in(booking.reference)),
            codec_state={**tokens, "pickup": pickup.isoformat(), **_references(answer)},
            pickup_eta=pickup,
            dropoff_eta=self._arrival(answer, pickup),
            price=Price(price, CURRENCY, "excluded") if price is not None else None,
            notes=(*notes, *twice, *self._link_notes(links.get("cancel"))),
        )

    def _link(self, url: str | None, verb: str) -> Link | None:
        return read_link(url, verb, self.company)

    def _arrival(self, answer: RawAnswer, pickup: datetime) -> datetime | None:
        """Resolve the arrival near the pickup, so that it rolls over midnight; before the pickup it is none (D-26)."""
        arrival = moment(answer.arrive_at_customer, pickup, self.zone)
        return arrival if arrival and arrival >= pickup else None

    def _link_notes(self, link: Link | None) -> tuple[str, ...]:
        if link is None:
            return ("cancel_link_missing",)
        return ("link_host_differs",) if link.host != urlsplit(self.origin).hostname else ()  # D-01


def _is_accepted(reply: Reply, answer: RawAnswer, attempt: AttemptView) -> bool:
    if reply.status == HTTPStatus.ACCEPTED:
        return answer.order_driver is True
    # the same 200 is said of an order that was never pushed, so it only counts while an offer is held (D-33)
    repeated = ALREADY_ACCEPTED in (answer.message or "").lower()
    return reply.status == HTTPStatus.OK and repeated and "accept" in attempt.codec_state


def _references(answer: RawAnswer) -> dict[str, str]:
    """Keep what only people use: the order's number for support (D-27), and the price to tell a changed one (D-24)."""
    known = {
        "order_id": answer.order_id[:LONGEST_REFERENCE] if answer.order_id else None,
        "price": str(answer.delivery_price) if answer.delivery_price is not None else None,
    }
    return {name: value for name, value in known.items() if value}


def read_company(reply: Reply, configured: str | None) -> str | None:
    """Read whose company the login belongs to (D-04). Raises Refused when the setting says another."""
    answer = answer_of(reply)
    told = answer.company if answer and answer.company and COMPANY.fullmatch(answer.company) else None
    if told and configured and told != configured:
        raise Refused(Reason.CONFIG, f"the login belongs to company {told}, the setting says {configured}")
    return told or configured
