"""The troubles that the attention reasons of deliveries make. A table says how each reason is grouped and described."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from schemas.status import GOODS_WITH_COURIER, AttentionReason
from worker.carriers.port import reference_of
from worker.domain import lifecycle
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Delivery, Step
from worker.domain.trouble import ORDERS_SHOWN, Action, CarrierQuestion, Severity, Trouble, with_orders
from worker.wording import counted


class _By(StrEnum):
    """What the orders of one trouble have in common."""

    ORDER = "order"
    STORE = "store"
    CARRIER = "carrier"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class _Cause:
    """How a trouble with an attention reason is grouped and described."""

    by: _By
    severity: Severity
    title: str
    explanation: str
    actions: tuple[Action, ...]
    question: str | None = None
    """What to ask the carrier; None when the carrier need not be asked."""


_UNTIL_KNOWN = "No other carrier is asked until you know."
_STATUS_QUESTION = "What is the status of {it}?"

CAUSES: Mapping[AttentionReason, _Cause] = {
    AttentionReason.UNKNOWN_STORE: _Cause(
        _By.STORE,
        Severity.WAITING,
        "Store {store} is not in the store directory",
        "Its orders are sent as soon as the store is loaded.",
        (Action.LOAD_STORES, Action.CANCEL),
    ),
    AttentionReason.NO_CONFIGURED_CARRIER: _Cause(
        _By.STORE,
        Severity.WAITING,
        "No carrier of store {store} has an account",
        "None of the carriers that the order or its store lists is in the settings.",
        (Action.LOAD_STORES, Action.CANCEL),
    ),
    AttentionReason.DUPLICATE_AT_CARRIER: _Cause(
        _By.ORDER,
        Severity.UNKNOWN_OUTCOME,
        "Is a courier coming? {carrier} calls order {order} a duplicate",
        f"The carrier says that it already has this order, but the order was not found there. {_UNTIL_KNOWN}",
        (Action.RESOLVE_EXISTS, Action.RESOLVE_ABSENT, Action.CANCEL),
        "Under which number do you have {it}?",
    ),
    AttentionReason.OUTCOME_UNKNOWN: _Cause(
        _By.ORDER,
        Severity.UNKNOWN_OUTCOME,
        "Is a courier coming? {carrier} gave no clear answer about order {order}",
        f"The order was sent to the carrier at {{sent}}, and nothing shows whether it arrived{{error}}. {_UNTIL_KNOWN}",
        (Action.RESOLVE_EXISTS, Action.RESOLVE_ABSENT, Action.CANCEL),
        "Do you have {it}, sent at {sent}?",
    ),
    AttentionReason.REFERENCE_MISSING: _Cause(
        _By.ORDER,
        Severity.UNKNOWN_OUTCOME,
        "{carrier} has order {order} under a number that we do not know",
        "A courier may come, but the order cannot be followed or cancelled until you enter the carrier's number.",
        (Action.RESOLVE_EXISTS, Action.CANCEL),
        "Under which number do you have {it}?",
    ),
    AttentionReason.NOT_DISPATCHED_IN_TIME: _Cause(
        _By.CARRIER,
        Severity.LATE,
        "{carrier} has confirmed no courier, and the pickup is near",
        "No carrier has confirmed a courier for these orders.",
        (Action.RETRY, Action.CANCEL),
    ),
    AttentionReason.SURPLUS_COURIER: _Cause(
        _By.ORDER,
        Severity.GOODS_ON_THE_ROAD,
        "A surplus courier of {carrier} may come for order {order}",
        "Another courier has the order, and the surplus courier could not be cancelled.",
        (Action.REFRESH, Action.ATTENDED),
        "Please cancel {it}: another courier takes it.",
    ),
    AttentionReason.CANCEL_REFUSED: _Cause(
        _By.ORDER,
        Severity.GOODS_ON_THE_ROAD,
        "{carrier} refuses to cancel order {order}",
        "The order is no longer wanted, and no read has shown that it ended, so the courier may still come{error}.",
        (Action.CANCEL, Action.REFRESH, Action.ATTENDED),
        "Please cancel {it}: it is no longer wanted.",
    ),
    AttentionReason.GOODS_WITH_COURIER: _Cause(
        _By.ORDER,
        Severity.GOODS_ON_THE_ROAD,
        "The courier of {carrier} still has the goods of order {order}",
        "The delivery ended ({status}) after the courier had picked up the goods.",
        (Action.REFRESH, Action.ATTENDED),
        "Where are the goods of {it}?",
    ),
    AttentionReason.ORDER_CHANGED_AFTER_DISPATCH: _Cause(
        _By.ORDER,
        Severity.GOODS_ON_THE_ROAD,
        "{carrier} does not know that order {order} has changed",
        "The change could not be sent to the carrier, so the courier has the old order{error}.",
        (Action.CANCEL, Action.ATTENDED),
        "Please change {it}: the order is not as we sent it.",
    ),
    AttentionReason.WENT_BACKWARDS: _Cause(
        _By.ORDER,
        Severity.WAITING,
        "{carrier} shows order {order} at an earlier status",
        "Two reads show a status that the delivery had already passed. Its status stays {status}.",
        (Action.REFRESH, Action.ATTENDED),
        _STATUS_QUESTION,
    ),
    AttentionReason.STILL_OPEN_AFTER_A_DAY: _Cause(
        _By.CARRIER,
        Severity.WAITING,
        "Orders of {carrier} have not ended after a day",
        "The carrier has reported no end of these orders.",
        (Action.REFRESH, Action.CANCEL, Action.ATTENDED),
        _STATUS_QUESTION,
    ),
    AttentionReason.PLATFORM_CANCELED_BY_DRIVER: _Cause(
        _By.ORDER,
        Severity.WAITING,
        "The platform says that a driver cancelled order {order}",
        "We did not write that status. Ask the shop whether the order is still wanted.",
        (Action.CANCEL, Action.ATTENDED),
    ),
    AttentionReason.PLATFORM_PICKUP_FAILED: _Cause(
        _By.ORDER,
        Severity.WAITING,
        "The platform says that a driver could not pick up order {order}",
        "We did not write that status. Ask the shop whether the order is still wanted.",
        (Action.CANCEL, Action.ATTENDED),
    ),
    AttentionReason.OFFER_WAITS: _Cause(
        _By.ORDER,
        Severity.WAITING,
        "{carrier} offers another pickup time for order {order}",
        "The pickup was requested for {pickup}, and the carrier offers {offered}. Without a decision, the offer is "
        "denied.",
        (Action.ACCEPT, Action.DENY),
    ),
    AttentionReason.ORDER_CHANGED_WITHOUT_REVISION: _Cause(
        _By.SOURCE,
        Severity.WAITING,
        "The platform {source} changed orders without a new revision",
        "The changes were not applied, because a message had the same revision and another content.",
        (Action.ATTENDED,),
    ),
}
"""What is said and done about each attention reason."""

SYMPTOMS = frozenset({AttentionReason.NOT_DISPATCHED_IN_TIME, AttentionReason.STILL_OPEN_AFTER_A_DAY})
"""Reasons that follow from another trouble of the delivery or of its account, if there is one."""
ABOUT_SURPLUS = AttentionReason.SURPLUS_COURIER


@dataclass(frozen=True, slots=True)
class AskingGroup:
    """What the deliveries of a group that need an operator have in common."""

    reasons: tuple[str, ...]
    source: str
    store_id: str
    carrier: str | None
    step: str | None
    step_carrier: str | None

    @property
    def causes(self) -> tuple[AttentionReason, ...]:
        """The attention reasons without symptoms, if a symptom has a cause among them."""
        known = tuple(AttentionReason(each) for each in self.reasons if each in CAUSES)
        return tuple(each for each in known if each not in SYMPTOMS) or known[:1]

    def key(self, reason: AttentionReason, delivery_id: str) -> str:
        """Return the key of the trouble that one of the reasons makes."""
        of = {
            _By.ORDER: delivery_id,
            _By.STORE: self.store_id,
            _By.CARRIER: self.carrier or "",
            _By.SOURCE: self.source,
        }
        return f"{reason}:{of[CAUSES[reason].by]}"


def group_of(delivery: Delivery) -> AskingGroup:
    """Return the group of a delivery that needs an operator."""
    return AskingGroup(
        delivery.attention_reasons,
        delivery.source,
        delivery.order.store_id,
        delivery.carrier,
        delivery.step,
        delivery.step_carrier,
    )


def attention_troubles(
    asking: Iterable[Delivery],
    counts: Mapping[AskingGroup, int],
    blocked: Collection[tuple[Step, str | None]],
    terms: TermsByAccount,
    now: datetime,
) -> list[Trouble]:
    """Return the troubles of deliveries that need an operator.

    `counts` has the number of deliveries of each group, and `asking` may have only some of them. A delivery with
    nothing but symptoms is no trouble of its own if its next step is one of the `blocked` steps at their carriers,
    because what blocks them is a trouble of its own.
    """
    found: dict[str, list[tuple[AttentionReason, Delivery]]] = {}
    for delivery in asking:
        group = group_of(delivery)
        for reason in _own_causes(group, blocked):
            found.setdefault(group.key(reason, delivery.id), []).append((reason, delivery))
    totals: Counter[str] = Counter()
    for group, count in counts.items():
        for reason in _own_causes(group, blocked):
            totals[group.key(reason, "")] += count
    listed = [
        _attention_trouble(key, each[0][0], [delivery for _, delivery in each], totals[key], terms, now)
        for key, each in found.items()
    ]
    return [*listed, *_more(totals, Counter(each.kind for each in listed))]


def _more(totals: Mapping[str, int], listed: Mapping[str, int]) -> Iterator[Trouble]:
    """Yield a trouble for each reason with more orders than those that have a trouble of their own."""
    for reason, cause in CAUSES.items():
        left = totals.get(f"{reason}:", 0) - listed.get(reason, 0) if cause.by is _By.ORDER else 0
        if left > 0:
            yield Trouble(
                key=key_of_more(reason),
                kind=reason.value,
                severity=cause.severity,
                title=f"{counted(left, 'more order needs', 'more orders need')} an operator ({reason.value})",
                explanation=f"`order-sync deliveries --attention {reason.value}` lists them.",
                count=left,
            )


def key_of_more(kind: str) -> str:
    """Return the key of the trouble of those orders of a kind that have no trouble of their own."""
    return f"{kind}:*"


def _own_causes(group: AskingGroup, blocked: Collection[tuple[Step, str | None]]) -> tuple[AttentionReason, ...]:
    causes = group.causes
    return () if (group.step, group.step_carrier) in blocked and SYMPTOMS.issuperset(causes) else causes


def _attention_trouble(
    key: str, reason: AttentionReason, asking: Sequence[Delivery], total: int, terms: TermsByAccount, now: datetime
) -> Trouble:
    cause, first = CAUSES[reason], asking[0]
    attempts = [(each, attempt) for each in asking for attempt in _attempts_about(each, reason)]
    texts = _texts(first, attempts[0][1] if attempts else None, reason)
    questions = [_question(cause.question, each, attempt) for each, attempt in attempts] if cause.question else []
    trouble = Trouble(
        key=key,
        kind=reason.value,
        severity=_severity(cause, asking),
        title=cause.title.format(**texts),
        explanation=cause.explanation.format(**texts),
        account=attempts[0][1].carrier if attempts else first.carrier,
        store_id=first.order.store_id if cause.by in {_By.ORDER, _By.STORE} else None,
        since=min(_since(each, reason) for each in asking),
        questions=tuple(questions[:ORDERS_SHOWN]),
        actions=tuple(each for each in cause.actions if _is_possible(each, asking, now)),
    )
    return with_orders(trouble, asking, max(total, len(asking)), terms, now)


def _severity(cause: _Cause, asking: Iterable[Delivery]) -> Severity:
    """Return the severity of a cause. An order that waits does more harm while a courier has its goods."""
    on_the_road = any(each.active and each.active.rank >= GOODS_WITH_COURIER for each in asking)
    return Severity.GOODS_ON_THE_ROAD if on_the_road and cause.severity is Severity.WAITING else cause.severity


def _attempts_about(delivery: Delivery, reason: AttentionReason) -> list[Attempt]:
    """Return the attempts that an attention reason is about: surplus couriers, or the active or last attempt."""
    if reason is ABOUT_SURPLUS:
        surplus = [each for each in delivery.attempts if each.surplus and each.live]
        if surplus:
            return surplus
    attempt = delivery.active or next(reversed(delivery.attempts), None)
    return [attempt] if attempt else []


def _since(delivery: Delivery, reason: AttentionReason) -> datetime:
    attempts = _attempts_about(delivery, reason)
    if not attempts or reason is AttentionReason.NOT_DISPATCHED_IN_TIME:
        return delivery.created_at
    return attempts[0].submitted_at if reason is AttentionReason.OUTCOME_UNKNOWN else attempts[0].changed_at


def _is_possible(action: Action, asking: Sequence[Delivery], now: datetime) -> bool:
    match action:
        case Action.RETRY:
            return any(lifecycle.retry_blocker(each, now) is None for each in asking)
        case Action.CANCEL:
            return any(not each.final for each in asking)
        case _:
            return True


def _texts(delivery: Delivery, attempt: Attempt | None, reason: AttentionReason) -> dict[str, str]:
    carrier = attempt.carrier if attempt else delivery.carrier
    error = attempt.last_error if attempt else None
    offered = attempt.offered_at if attempt else None
    return {
        "order": delivery.order.order_id,
        "store": delivery.order.store_id,
        "source": delivery.source,
        "status": delivery.status.value,
        "carrier": carrier or ("the carrier" if reason is not AttentionReason.STILL_OPEN_AFTER_A_DAY else "no carrier"),
        "error": f" ({error})" if error else "",
        "sent": _local(delivery, attempt.submitted_at) if attempt else "",
        "pickup": _local(delivery, attempt.pickup_at) if attempt else "",
        "offered": _local(delivery, offered) if offered else "no time",
    }


def _question(question: str, delivery: Delivery, attempt: Attempt) -> CarrierQuestion:
    tag, payment = reference_of(attempt.id), delivery.order.payment
    it = f"your order {attempt.ref}" if attempt.ref else f"our order {delivery.order.order_id} with the reference {tag}"
    return CarrierQuestion(
        account=attempt.carrier,
        question=question.format(it=it, sent=_local(delivery, attempt.submitted_at)),
        order_id=delivery.order.order_id,
        reference=attempt.ref,
        our_id=attempt.id,
        our_tag=tag,
        sent_at=attempt.submitted_at,
        pickup_at=attempt.pickup_at,
        timezone=_zone(delivery),
        amount=payment.amount,
        currency=payment.currency,
    )


def _zone(delivery: Delivery) -> str:
    return delivery.store.timezone if delivery.store else "UTC"


def _local(delivery: Delivery, moment: datetime) -> str:
    """Return the time of day at the store."""
    local = moment.astimezone(ZoneInfo(_zone(delivery)))
    return f"{local:%H:%M:%S}" if delivery.store else f"{local:%H:%M:%S} UTC"
