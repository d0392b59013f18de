"""What an operator may do at the desk: a page says what will happen to which orders, and its form does it once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from schemas.messages import Cancellation
from schemas.status import DeliveryStatus
from worker import log
from worker.bus.streams import OUTAGES
from worker.config.settings import parse_stores
from worker.container import Container
from worker.database import accounts, deliveries, inbox
from worker.database.connection import IntegrityError
from worker.domain.delivery import Delivery, OfferDecision
from worker.domain.operator import Operator
from worker.domain.trouble import Action, Trouble, TroubledOrder
from worker.errors import SettingsError
from worker.web.desk.access import Form, local_path, new_form_token, sent_form_token
from worker.web.desk.pages import NOTICE, Pages, storable

logger = log.get(__name__)
MOST_TARGETS = 100
"""The most orders or messages that one form may change."""
MAX_REASON = 500
MAX_NOTICE = 1000
"""The longest text that a session carries to the next page. The session is a cookie."""
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
class Input:
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
    inputs: tuple[Input, ...] = ()
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
    ref = storable(submission.form.get("ref", "")).strip() if submission.action is Action.RESOLVE_EXISTS else None
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
        return "Redis does not answer"


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
        inputs=(Input("allow_paid", "Cancel even if the carrier charges for it", required=False, checkbox=True),),
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
        inputs=(Input("ref", "The carrier's number of the order"),),
        one_at_a_time=True,
    ),
    Action.RESOLVE_ABSENT: ActionForm(
        "It does not exist",
        "The next carrier is asked, or this one again.",
        _resolve,
        second_courier="If the carrier does have the order, a second courier will come.",
        one_at_a_time=True,
    ),
    Action.ACCEPT: ActionForm("Accept the time", "The carrier is told that its pickup time suits.", _decide_offer),
    Action.DENY: ActionForm(
        "Deny the time",
        "The carrier is told that its pickup time does not suit. The next carrier is asked.",
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
        inputs=(Input("status", "It means", MEANINGS),),
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
        inputs=(Input("stores", "The store, as in stores.toml", lines=14),),
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


@dataclass(frozen=True)
class Choice:
    """A button of a card or of a delivery."""

    label: str
    address: str
    """The address of the preview; empty if only the command line can do it."""
    command: str = ""


def choices(trouble: Trouble) -> list[Choice]:
    """Return the buttons of a trouble's card."""
    return [_choice(trouble, action) for action in trouble.actions]


def _choice(trouble: Trouble, action: Action) -> Choice:
    action_form = ACTION_FORMS.get(action)
    if action_form is None or (action_form.one_at_a_time and trouble.count > 1):
        return Choice("", "", f"order-sync {action.value}")
    several = action_form.on == "order" and trouble.count > 1
    label = f"{action_form.label}: all {min(trouble.count, len(trouble.orders))}" if several else action_form.label
    return Choice(f"{label}…", f"/do/{SLUGS[action]}?{urlencode({'trouble': trouble.key})}")


def choose(delivery: Delivery, ref: str) -> Choice:
    """Return the button that follows a delivery under an id of its carrier."""
    query = urlencode({"delivery": delivery.id, "ref": ref})
    return Choice("It is this one…", f"/do/{SLUGS[Action.RESOLVE_EXISTS]}?{query}")


def possible_actions(delivery: Delivery) -> list[Choice]:
    """Return the buttons of a delivery's page."""
    return [
        Choice(f"{ACTION_FORMS[action].label}…", f"/do/{SLUGS[action]}?{urlencode({'delivery': delivery.id})}")
        for action in _possible(delivery)
    ]


def _possible(delivery: Delivery) -> Iterator[Action]:
    attempt = delivery.active
    if attempt is not None and attempt.awaiting_operator:
        yield from (Action.RESOLVE_EXISTS, Action.RESOLVE_ABSENT)
    elif delivery.attention_reasons:
        yield Action.ATTENDED
    if attempt is not None and attempt.offered_at is not None and attempt.offer_decision is None:
        yield from (Action.ACCEPT, Action.DENY)
    if attempt is None:
        yield Action.RETRY
    if not delivery.final:
        yield Action.CANCEL
    if delivery.attempts:
        yield Action.REFRESH


@dataclass(frozen=True)
class Target:
    """One thing that an action is done to."""

    id: str
    name: str
    note: str = ""
    blocker: str | None = None
    risk: str = ""


@dataclass(frozen=True)
class Preview:
    """What a form is about to do."""

    action: Action
    action_form: ActionForm
    targets: tuple[Target, ...]
    subject: str = ""
    store: str = ""
    back: str = "/"
    total: int = 0
    """How many orders the card has; the form is about as many of them as it names."""
    values: dict[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Actions:
    """Show what an action will do, and do it."""

    services: Container
    pages: Pages

    def preview(self, request: Request) -> Response:
        """Show what an action will do, with its form."""
        return self._page(request, self._preview(request, Form(request.query_params.multi_items())))

    def do(self, request: Request, form: Form) -> Response:
        """Do an action to each target, and go back to the page from which it was asked for. Do no form twice."""
        preview = self._preview(request, form)
        by = Operator(request.scope["user"], form.get("reason", "").strip()[:MAX_REASON])
        if error := _fault(preview, form, by):
            return self._page(request, replace(preview, error=error, values=dict(form.items())), 422)
        if not self.services.operations.claim_form(sent_form_token(form)):
            request.session[NOTICE] = "This form was sent before. Nothing was done again."
            return RedirectResponse(preview.back, 303)
        submission = Submission(
            preview.action, by, form, preview.targets[0].id if preview.targets else "", preview.subject
        )
        with log.about(user=by.name, action=preview.action.value):
            refused = [
                (each, why)
                for each in preview.targets
                if (why := preview.action_form.do(self.services, submission, each.id))
            ]
        self.pages.snapshot.forget()
        done = len(preview.targets) - len(refused)
        logger.info(
            "desk.acted",
            user=by.name,
            action=preview.action.value,
            done=done,
            refused=len(refused),
            targets=[each.id for each in preview.targets],
        )
        if refused and not done:
            text = "; ".join(f"{each.name}: {why}" for each, why in refused)
            again = replace(preview, error=f"Nothing was done. {text}"[:MAX_NOTICE], values=dict(form.items()))
            return self._page(request, again, 409)
        request.session[NOTICE] = _result(preview, done, refused)
        return RedirectResponse(preview.back, 303)

    def _page(self, request: Request, preview: Preview, status: int = 200) -> Response:
        return self.pages.render(request, "do.html", status, preview=preview, once=new_form_token(), most=MOST_TARGETS)

    # --- what the form is about -----------------------------------------------------------------------------------

    def _preview(self, request: Request, given: Form) -> Preview:
        action = BY_SLUG.get(request.path_params["action"])
        if action is None:
            raise HTTPException(404, "There is no such action.")
        action_form, back = ACTION_FORMS[action], local_path(given.get("back"))
        trouble = self._trouble(given)
        total = trouble.count if trouble else 0
        named = given.getlist(action_form.on)[:MOST_TARGETS]
        match action_form.on:
            case "order":
                ids = given.getlist("delivery")[:MOST_TARGETS] or [each.delivery_id for each in _orders(trouble)]
                targets = self._orders(action, ids)
            case "account":
                targets = self._accounts(named or _given(trouble.account if trouble else None))
            case "message":
                targets = self._messages(named, trouble)
            case _:
                targets = (Target("", "Order Sync"),)
        if not targets:
            raise HTTPException(404, "There is nothing left to do here: it was settled in the meantime.")
        if action_form.one_at_a_time:
            targets = targets[:1]
        subject = given.get("subject") or (trouble.subject if trouble else "") or ""
        store = (trouble.store_id if trouble else "") or ""
        values = {"stores": STORE_TEMPLATE.format(store=store or "ID"), "ref": given.get("ref", "")}
        return Preview(action, action_form, targets, storable(subject), store, back, total, values)

    def _trouble(self, given: Form) -> Trouble | None:
        key = given.get("trouble")
        return next((each for each in self.pages.snapshot.troubles() if each.key == key), None) if key else None

    def _orders(self, action: Action, ids: Iterable[str]) -> tuple[Target, ...]:
        found = self.services.database.read(deliveries.load, [storable(each) for each in ids])
        return tuple(
            Target(
                each.id,
                f"order {each.order.order_id}",
                f"store {each.order.store_id}, {each.status.value}, {each.carrier or 'no carrier'}",
                self.services.decisions.retry_blocker(each) if action is Action.RETRY else None,
                self.services.candidates.risk_of_haste(each) if action is Action.RESOLVE_ABSENT else "",
            )
            for each in found
        )

    def _accounts(self, names: Iterable[str]) -> tuple[Target, ...]:
        paused = self.services.database.read(accounts.paused)
        return tuple(
            Target(name, name, f"paused by {paused[name].by}: {paused[name].because}" if name in paused else "active")
            for name in names
            if name in self.services.api_accounts
        )

    def _messages(self, ids: Sequence[str], trouble: Trouble | None) -> tuple[Target, ...]:
        letters = self.services.database.read(inbox.dead_letters, 10 * MOST_TARGETS)
        about = trouble.subject if trouble else None
        chosen = [each for each in letters if each["id"] in ids or (not ids and about and each["reason"] == about)]
        return tuple(Target(each["id"], f"message {each['id']}", each["reason"]) for each in chosen[:MOST_TARGETS])


def _orders(trouble: Trouble | None) -> Sequence[TroubledOrder]:
    return trouble.orders if trouble else ()


def _given(name: str | None) -> list[str]:
    return [name] if name else []


def _fault(preview: Preview, form: Form, by: Operator) -> str | None:
    """Return what is missing in a form; None when it is complete."""
    action_form = preview.action_form
    for each in action_form.inputs:
        value = form.get(each.name, "").strip()
        if each.required and not value:
            return f"Fill in: {each.label}."
        if each.choices and value not in each.choices:
            return f"Choose: {each.label}."
    if preview.action is Action.MAP_STATUS and not all(preview.subject.partition(":")):
        return "The carrier status is missing."
    risk = action_form.second_courier or (preview.action is Action.MAP_STATUS and form.get("status") in ENDS)
    if risk and not by.reason:
        return "Write your reason: a second courier may come."
    if risk and not form.get("sure"):
        return "Confirm that you are sure: a second courier may come."
    return None


def _result(preview: Preview, done: int, refused: Sequence[tuple[Target, str]]) -> str:
    label = preview.action_form.label
    if not refused:
        return f"Done: {label}, {preview.targets[0].name}." if done == 1 else f"Done: {label}, {done} of {done}."
    left = "; ".join(f"{each.name}: {why}" for each, why in refused)
    return f"Done: {label}, {done} of {len(preview.targets)}. Not done: {left}"[:MAX_NOTICE]
