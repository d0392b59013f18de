"""The actions of the desk: how each is described, which fields its form has, and what it does to one target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.messages import Cancellation
from schemas.status import DeliveryStatus
from worker.bus.port import OUTAGES
from worker.config.settings import parse_stores
from worker.container import Container
from worker.database import deliveries
from worker.database.connection import IntegrityError
from worker.domain.delivery import OfferDecision
from worker.domain.operator import Operator
from worker.domain.trouble import Action
from worker.errors import SettingsError
from worker.web.desk.access import Form

ENDS = frozenset({DeliveryStatus.CANCELLED, DeliveryStatus.REJECTED, DeliveryStatus.FAILED})
"""Ends of an attempt after which another carrier may be asked."""
MEANINGS = tuple(each for each in DeliveryStatus if each not in {"queued", "submit_unknown"})
"""Our statuses to which a carrier status can be mapped: what a carrier can report."""
STORE_TEMPLATE = """\
[stores.{store}]
name = ""
phone = ""
street = ""
postal_code = ""
city = ""
country = ""
latitude = 0.0
longitude = 0.0
timezone = ""
carriers = [""]
"""


@dataclass(frozen=True)
class FormField:
    """A field of the form of an action."""

    name: str
    label: str
    choices: Sequence[str] = ()
    required: bool = True
    lines: int = 1
    checkbox: bool = False


@dataclass(frozen=True)
class Submission:
    """What an operator asks for."""

    action: Action
    by: Operator
    form: Form
    account: str
    subject: str


@dataclass(frozen=True)
class ActionForm:
    """How one action is described, asked for and done."""

    label: str
    effect: str
    """What will happen, as a sentence."""
    do: Callable[[Container, Submission, str], str | None]
    """Do the action to one target; return why nothing was done, or None after it was done."""
    on: str = "order"
    """What a target is: `order`, `account`, `message` or `none`."""
    inputs: tuple[FormField, ...] = ()
    second_courier: str = ""
    """Why a second courier may come. A reason and a confirmation are then required."""
    one_at_a_time: bool = False


def _cancel(services: Container, submission: Submission, target: str) -> str | None:
    found = services.database.read(deliveries.load, [target])
    if not found:
        return "there is no such delivery"
    order_id, allow_paid = found[0].order.order_id, bool(submission.form.get("allow_paid"))
    request = Cancellation(order_id=order_id, reason=submission.by.reason, allow_paid=allow_paid)
    return _done(services.decisions.cancel(target, request, submission.by))


def _retry(services: Container, submission: Submission, target: str) -> str | None:
    found = services.database.read(deliveries.load, [target])
    blocker = services.decisions.retry_blocker(found[0]) if found else "there is no such delivery"
    return blocker or _done(services.decisions.retry(target, submission.by))


def _resolve(services: Container, submission: Submission, target: str) -> str | None:
    ref = submission.form.get("ref", "").strip() if submission.action is Action.RESOLVE_EXISTS else None
    try:
        return _done(services.decisions.resolve(target, ref, submission.by))
    except IntegrityError:
        return f"another delivery has the carrier's order {ref}: check the number"


def _decide_offer(services: Container, submission: Submission, target: str) -> str | None:
    return _done(services.decisions.decide_offer(target, OfferDecision(submission.action.value), submission.by))


def _attended(services: Container, submission: Submission, target: str) -> str | None:
    found = services.database.read(deliveries.load, [target])
    if found and found[0].active is not None and found[0].active.awaiting_operator:
        return "its unknown outcome must be resolved first"
    return _done(services.decisions.resolve_attention(target, submission.by))


def _map_status(services: Container, submission: Submission, target: str) -> str | None:
    status = DeliveryStatus(submission.form["status"])
    services.decisions.map_status(target, submission.subject, status, submission.by)
    return None


def _load_stores(services: Container, submission: Submission, _target: str) -> str | None:
    try:
        stores = parse_stores(submission.form["stores"])
    except SettingsError as error:
        return str(error)
    services.operations.load_stores(stores, submission.by)
    return None


def _replay(services: Container, submission: Submission, target: str) -> str | None:
    try:
        return _done(services.operations.replay(target, submission.by))
    except OUTAGES:
        return f"{services.bus.server} does not answer"


def _done(changed: object) -> str | None:
    return "there was nothing to do any more" if changed is None or changed is False else None


ACTION_FORMS: dict[Action, ActionForm] = {
    Action.RETRY: ActionForm(
        "Request a courier again",
        "A courier is requested now.",
        _retry,
        second_courier="A courier is requested now. If one comes already that we do not know, two will come.",
    ),
    Action.CANCEL: ActionForm(
        "Cancel",
        "The carrier is asked to cancel. Until it confirms, the courier may still come. An order that no carrier has "
        "ends at once.",
        _cancel,
        inputs=(FormField("allow_paid", "Cancel even if the carrier charges for it", required=False, checkbox=True),),
    ),
    Action.REFRESH: ActionForm(
        "Look again now",
        "The carrier is asked now for the status. Nothing changes there.",
        lambda services, submission, target: _done(services.decisions.refresh(target, submission.by)),
    ),
    Action.RESOLVE_EXISTS: ActionForm(
        "It exists",
        "The order is followed under the number that you enter.",
        _resolve,
        inputs=(FormField("ref", "The carrier's number of the order"),),
        one_at_a_time=True,
    ),
    Action.RESOLVE_ABSENT: ActionForm(
        "It does not exist",
        "The next carrier is asked, or this one again.",
        _resolve,
        second_courier="If the carrier does have the order, a second courier will come.",
        one_at_a_time=True,
    ),
    Action.ACCEPT: ActionForm("Accept the time", "The carrier's pickup time is accepted.", _decide_offer),
    Action.DENY: ActionForm(
        "Deny the time",
        "The carrier's pickup time is denied. The next carrier is asked.",
        _decide_offer,
    ),
    Action.ATTENDED: ActionForm(
        "It is dealt with",
        "The question is closed. Nothing is sent to a carrier.",
        _attended,
    ),
    Action.PAUSE: ActionForm(
        "Pause",
        "The account is not called until somebody resumes it. Its orders go to other carriers, or wait.",
        lambda services, submission, target: _done(services.operations.pause(target, submission.by)),
        on="account",
    ),
    Action.RESUME: ActionForm(
        "Resume now",
        "The account is called again, and what waits for it is sent now.",
        lambda services, submission, target: _done(services.operations.resume(target, submission.by)),
        on="account",
    ),
    Action.MAP_STATUS: ActionForm(
        "Say what it means",
        "Deliveries with this carrier status get the status that you choose, now and in future.",
        _map_status,
        on="account",
        inputs=(FormField("status", "It means", MEANINGS),),
    ),
    Action.RELEASE: ActionForm(
        "Send creates again",
        "Creates are sent again to all accounts.",
        lambda services, submission, _target: _done(services.operations.release(submission.by)),
        on="none",
        second_courier="If the database has lost a create, a second courier will come for its order.",
    ),
    Action.LOAD_STORES: ActionForm(
        "Add the store",
        "The store is kept in the database, and orders that wait for it are sent.",
        _load_stores,
        on="none",
        inputs=(FormField("stores", "The store, as in stores.toml", lines=14),),
    ),
    Action.REPLAY: ActionForm(
        "Replay",
        "The message is put on the stream again and read like a new one.",
        _replay,
        on="message",
    ),
    Action.DISCARD: ActionForm(
        "Discard",
        "The message is taken off the list. It is never read again.",
        lambda services, submission, target: _done(services.operations.discard(target, submission.by)),
        on="message",
    ),
}
"""The actions that the desk offers. The others need the command line."""
SLUGS = {action: action.value.replace(" ", "-") for action in ACTION_FORMS}
BY_SLUG = {slug: action for action, slug in SLUGS.items()}
