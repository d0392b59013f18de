"""What every carrier promises of the calls that it builds."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.status import Reason
from tests.carriers.contract.subjects import SECRET, SUBJECTS, Subject
from tests.carriers.sample import NOW
from worker.carriers import KINDS
from worker.carriers.abilities import Amends, Labels, ListsOrders, LocatesCourier, NamesOrders, Quotes
from worker.carriers.port import Callback
from worker.errors import Forged, Refused
from worker.http.call import HARMLESS, Call, Operation

PERSONAL = ("Jane", "Doe", "4520304050", "Nørregade", "ring twice")
"""The personal data in the order."""
EARLY = NOW - timedelta(hours=2)

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


def calls(subject: Subject) -> Iterator[Call]:
    """Build every call to a carrier, except its login."""
    codec, attempt = subject.codec, subject.attempt
    yield codec.book(subject.booking, NOW)
    yield from codec.track([attempt], NOW)
    yield from codec.find([subject.unanswered], NOW)
    yield codec.cancel(attempt, EARLY, allow_paid=False)
    if isinstance(codec, Quotes):
        yield codec.quote(subject.booking, NOW)
    if isinstance(codec, Labels):
        yield from (codec.labels(attempt, "pdf"), codec.labels(attempt, "zpl"))
    if isinstance(codec, LocatesCourier):
        yield codec.locate(attempt)
    if isinstance(codec, ListsOrders):
        yield from codec.list_near(subject.unanswered, NOW)
    yield from amendments(subject)


def amendments(subject: Subject) -> list[Call]:
    """Build a change of the notes for a carrier that takes changes, with the read before it."""
    codec, attempt = subject.codec, subject.attempt
    if not isinstance(codec, Amends) or not codec.capabilities.amends:
        return []
    order = attempt.order.model_copy(update={"notes": "the other door"})
    first = codec.before_amend(attempt, NOW)
    change = codec.amend(replace(attempt, order=order), subject.tracked if first else None, NOW)
    return [call for call in (first, change) if call is not None]


def test_every_kind_of_carrier_is_in_the_contract_suite() -> None:
    assert {subject.codec.kind for subject in SUBJECTS.values()} - {"toy"} == set(KINDS)


@subjects
def test_a_create_is_the_same_each_time_and_carries_our_reference(subject: Subject) -> None:
    first, second = (subject.codec.book(subject.booking, NOW) for _ in range(2))
    assert first == second
    assert (first.operation, first.attempt_ids) == (Operation.CREATE, (subject.booking.attempt_id,))
    assert subject.booking.reference in first.body.decode() or str(subject.booking.attempt_id) in first.body.decode()


@subjects
def test_no_customer_data_and_no_credential_is_in_a_repr_a_path_or_a_query(subject: Subject) -> None:
    for call in (*calls(subject), subject.codec.probe()):
        visible = f"{call!r} {call.path} {call.query} {call.context}"
        assert [word for word in (*PERSONAL, SECRET) if word in visible] == []
    assert SECRET not in repr(subject.codec.account)


@subjects
def test_every_call_is_on_the_accounts_origin_with_its_credentials_in_the_headers(subject: Subject) -> None:
    for call in calls(subject):
        path = call.path
        assert path.startswith("/")
        assert not path.startswith("//")
        assert set("?#\\ ").isdisjoint(path)
        assert SECRET.encode() not in call.body
        assert any(_has_secret(value) for _, value in call.headers)


def _has_secret(header: str) -> bool:
    return SECRET in header or SECRET in base64.b64decode(header.removeprefix("Basic ") + "==").decode("latin-1")


@subjects
def test_a_get_request_is_harmless_except_the_cancel_at_cervo(subject: Subject) -> None:
    kinds = {call.operation for call in calls(subject)}
    assert {Operation.CREATE, Operation.READ, Operation.CANCEL} <= kinds
    assert [call.operation for call in calls(subject) if call.method == "GET"] == [
        call.operation
        for call in calls(subject)
        if call.method == "GET" and (call.operation in HARMLESS or subject.codec.kind == "cervo")  # C-45
    ]


@subjects
def test_an_order_is_named_on_the_carriers_screen_without_the_customers_data(subject: Subject) -> None:
    codec, unanswered = subject.codec, subject.unanswered
    if not isinstance(codec, NamesOrders):
        return
    names = codec.sent_names(unanswered)
    text = " ".join(names.values())
    assert str(unanswered.id) in text or unanswered.reference in text
    assert [word for word in PERSONAL if word in text] == []


@subjects
def test_the_probe_is_about_no_order_and_carries_credentials(subject: Subject) -> None:
    call = subject.codec.probe()
    assert (call.operation, call.attempt_ids, bool(call.headers)) == (Operation.PROBE, (), True)


@subjects
def test_only_attempts_with_a_carriers_id_are_tracked(subject: Subject) -> None:
    codec = subject.codec
    both = codec.track([subject.attempt, replace(subject.unanswered, id=2)], NOW)
    assert {key for call in both for key in call.attempt_ids} == {subject.attempt.id}
    assert (codec.track([], NOW), codec.track([subject.unanswered], NOW)) == ([], [])


@subjects
def test_find_builds_a_call_exactly_where_the_carrier_has_a_look_up(subject: Subject) -> None:
    codec = subject.codec
    built = codec.find([subject.unanswered], NOW)
    assert bool(built) is codec.capabilities.find
    assert {key for call in built for key in call.attempt_ids} == ({subject.unanswered.id} if built else set())
    assert codec.find([], NOW) == []


@subjects
def test_a_change_is_the_same_each_time_and_about_one_order(subject: Subject) -> None:
    built = amendments(subject)
    assert built == amendments(subject)
    assert [call.operation for call in built][-1:] == [Operation.AMEND] * subject.codec.capabilities.amends
    assert {call.attempt_ids for call in built} <= {(subject.attempt.id,)}


@subjects
def test_a_cancel_needs_the_carriers_id_of_the_order(subject: Subject) -> None:
    with pytest.raises(Refused) as refused:
        subject.codec.cancel(subject.unanswered, EARLY, allow_paid=True)
    assert refused.value.reason is Reason.UNKNOWN


@subjects
def test_confirm_is_refused_without_an_offer(subject: Subject) -> None:
    for accept in (True, False):
        with pytest.raises(Refused):
            subject.codec.confirm(subject.attempt, accept=accept)


@subjects
@pytest.mark.parametrize(
    "callback",
    [Callback("POST", b"{}"), Callback("POST", b"{}", {"x-dv-signature": "0" * 64}), Callback("GET", b"", token="")],
    ids=["no proof", "a wrong signature", "an empty token"],
)
def test_a_callback_without_proof_is_forged(subject: Subject, callback: Callback) -> None:
    with pytest.raises(Forged):
        subject.codec.authenticate(callback)


@subjects
def test_the_capabilities_of_a_carrier_match_its_methods(subject: Subject) -> None:
    codec, capabilities = subject.codec, subject.codec.capabilities
    assert codec.account.kind == codec.kind
    assert isinstance(codec.account, codec.account_type)
    assert (capabilities.callbacks == "none") is (subject.callback is None)
    assert isinstance(codec, Amends) or not capabilities.amends
    assert capabilities.cadence.shortest > 0
    assert (capabilities.track_batch > 0, capabilities.max_creates > 0, capabilities.max_body > 0) == (True, True, True)
