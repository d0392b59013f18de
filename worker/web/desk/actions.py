"""What an operator may do at the desk: a page says what will happen to which orders, and its form does it once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker import log
from worker.container import Container
from worker.database import accounts, deliveries, inbox
from worker.database.accounts import EVERY_ACCOUNT, Pause
from worker.domain.operator import Operator
from worker.domain.trouble import Action, Trouble, TroubledOrder
from worker.services.operations import SENT_BEFORE
from worker.web.desk.access import Form, local_path, new_form_token, sent_form_token
from worker.web.desk.action_forms import ACTION_FORMS, BY_SLUG, ENDS, STORE_TEMPLATE, ActionForm, Submission
from worker.web.desk.choices import state_of
from worker.web.desk.pages import NOTICE, Pages, storable

logger = log.get(__name__)
MOST_TARGETS = 100
"""The most orders or messages that one form may change."""
MAX_REASON = 500
MAX_NOTICE = 1000
"""The longest text that a session carries to the next page. The session is a cookie, in which a character that is not
ASCII takes six or twelve bytes, and browsers drop cookies of more than 4096 bytes."""


@dataclass(frozen=True)
class Target:
    """One thing that an action is done to."""

    id: str
    name: str
    note: str = ""
    blocker: str | None = None
    risk: str = ""
    state: str = ""
    """What the operator decides about. If it has changed since, nothing is done. Empty if any change is harmless."""


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
    states: tuple[str, ...] = ()
    """The states of the targets when the operator saw them first."""
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
        error = self.services.operations.claim_form(sent_form_token(form))
        if error == SENT_BEFORE:
            request.session[NOTICE] = error
            return RedirectResponse(preview.back, 303)
        if error is not None:
            return self._page(request, replace(preview, error=error, values=dict(form.items())), 503)
        submission = Submission(
            preview.action, by, form, preview.targets[0].id if preview.targets else "", preview.subject
        )
        with log.about(user=by.name, action=preview.action.value):
            refused = [
                (each, why)
                for each in preview.targets
                if (why := _changed(preview, each) or preview.action_form.do(self.services, submission, each.id))
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
                targets = self._accounts(action, named or _given(trouble.account if trouble else None))
            case "message":
                targets = self._messages(named, trouble)
            case _:
                targets = (Target("", "Order Sync", state=self._hold() if action is Action.RELEASE else ""),)
        if not targets:
            raise HTTPException(404, "There is nothing left to do here: it was settled in the meantime.")
        if action_form.one_at_a_time:
            targets = targets[:1]
        subject = given.get("subject") or (trouble.subject if trouble else "") or ""
        store = (trouble.store_id if trouble else "") or ""
        values = {"stores": STORE_TEMPLATE.format(store=store or "ID"), "ref": given.get("ref", "")}
        states = tuple(given.getlist("state") or (each.state for each in targets if each.state))
        return Preview(action, action_form, targets, storable(subject), store, back, total, values, states)

    def _trouble(self, given: Form) -> Trouble | None:
        key = given.get("trouble")
        return next((each for each in self.pages.snapshot.get().troubles if each.key == key), None) if key else None

    def _orders(self, action: Action, ids: Iterable[str]) -> tuple[Target, ...]:
        found = self.services.database.read(deliveries.load, [storable(each) for each in ids])
        return tuple(
            Target(
                each.id,
                f"order {each.order.order_id}",
                f"store {each.order.store_id}, {each.status.value}, {each.carrier or 'no carrier'}",
                self.services.decisions.retry_blocker(each) if action is Action.RETRY else None,
                self.services.candidates.risk_of_haste(each) if action is Action.RESOLVE_ABSENT else "",
                state_of(action, each),
            )
            for each in found
        )

    def _accounts(self, action: Action, names: Iterable[str]) -> tuple[Target, ...]:
        paused = self.services.database.read(accounts.paused)
        return tuple(
            Target(name, name, _described(pause), state=_shown(name, pause) if action is Action.RESUME else "")
            for name in names
            if name in self.services.api_accounts
            for pause in [paused.get(name)]
        )

    def _hold(self) -> str:
        return _shown(EVERY_ACCOUNT, self.services.database.read(accounts.paused).get(EVERY_ACCOUNT))

    def _messages(self, ids: Sequence[str], trouble: Trouble | None) -> tuple[Target, ...]:
        letters = self.services.database.read(inbox.dead_letters, 10 * MOST_TARGETS)
        about = trouble.subject if trouble else None
        chosen = [each for each in letters if each["id"] in ids or (not ids and about and each["reason"] == about)]
        return tuple(Target(each["id"], f"message {each['id']}", each["reason"]) for each in chosen[:MOST_TARGETS])


def _described(pause: Pause | None) -> str:
    return f"paused by {pause.by}: {pause.because}" if pause else "active"


def _shown(name: str, pause: Pause | None) -> str:
    return f"{name} {pause.by} {pause.since.isoformat()}" if pause else f"{name} active"


def _changed(preview: Preview, target: Target) -> str | None:
    """Return why nothing is done to a target that has changed; None if the operator saw it as it is."""
    if not target.state or target.state in preview.states:
        return None
    return "it has changed since you saw it. Go back and look again"


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
    text = f"Done: {label}, {done} of {len(preview.targets)}. Not done: {left}"
    return text[: MAX_NOTICE if text.isascii() else MAX_NOTICE // 6]
