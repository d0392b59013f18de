"""The buttons of a card, of one of its orders, and of a delivery. Each leads to the preview of an action."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from worker.domain.delivery import Delivery
from worker.domain.lifecycle.reconciliation import is_typed_reference
from worker.domain.trouble import Action, Trouble
from worker.web.desk.action_forms import ACTION_FORMS, SLUGS


@dataclass(frozen=True)
class Choice:
    """A button."""

    label: str
    address: str
    """The address of the preview; empty if only the command line can do it."""
    command: str = ""


def choices(trouble: Trouble) -> list[Choice]:
    """Return the buttons of a trouble's card, which are about all of its orders."""
    several = trouble.count > 1
    return [_of_card(trouble, each) for each in trouble.actions if not (several and _one_at_a_time(each))]


def order_choices(trouble: Trouble) -> dict[str, list[Choice]]:
    """Return the buttons of each order of a card, by delivery id. The buttons of a single order are the card's."""
    of_orders = [each for each in trouble.actions if each in ACTION_FORMS and ACTION_FORMS[each].on == "order"]
    actions = of_orders if trouble.count > 1 else []
    return {each.delivery_id: [_of_delivery(each.delivery_id, action) for action in actions] for each in trouble.orders}


def _one_at_a_time(action: Action) -> bool:
    return action in ACTION_FORMS and ACTION_FORMS[action].one_at_a_time


def _of_card(trouble: Trouble, action: Action) -> Choice:
    action_form = ACTION_FORMS.get(action)
    if action_form is None:
        return Choice("", "", f"order-sync {action.value}")
    several = action_form.on == "order" and trouble.count > 1
    label = f"{action_form.label}: all {min(trouble.count, len(trouble.orders))}" if several else action_form.label
    return Choice(f"{label}…", f"/do/{SLUGS[action]}?{urlencode({'trouble': trouble.key})}")


def _of_delivery(delivery_id: str, action: Action) -> Choice:
    return Choice(f"{ACTION_FORMS[action].label}…", f"/do/{SLUGS[action]}?{urlencode({'delivery': delivery_id})}")


def choose(delivery: Delivery, ref: str) -> Choice:
    """Return the button that follows a delivery under an id of its carrier."""
    state = state_of(Action.RESOLVE_EXISTS, delivery)
    query = urlencode({"delivery": delivery.id, "ref": ref, "state": state})
    return Choice("It is this one…", f"/do/{SLUGS[Action.RESOLVE_EXISTS]}?{query}")


def state_of(action: Action, delivery: Delivery) -> str:
    """Return what an operator decides about with an action; empty if the action suits any state of the delivery.

    Without it, a form that was opened earlier would apply to a later attempt, to another offer, or to an attention
    reason that its operator never saw.
    """
    attempt = delivery.active
    is_known = attempt is None or (attempt.ref is not None and not is_typed_reference(delivery, attempt))
    match action:
        case Action.CANCEL | Action.REFRESH:
            return ""
        case Action.RESOLVE_EXISTS if is_known:
            return ""  # the number is that of an earlier attempt, whose courier is then recorded as a surplus courier
        case Action.ATTENDED:
            return ", ".join((delivery.id, *delivery.attention_reasons))
        case _:
            offer = attempt.offered_at.isoformat() if attempt and attempt.offered_at else "no offer"
            return f"{delivery.id}, {len(delivery.attempts)} attempts, {offer}"


def possible_actions(delivery: Delivery) -> list[Choice]:
    """Return the buttons of a delivery's page."""
    return [_of_delivery(delivery.id, action) for action in _possible(delivery)]


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
