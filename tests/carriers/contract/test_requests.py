"""What every carrier promises of the calls it describes."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.status import Reason
from tests.carriers.contract.subjects import SECRET, SUBJECTS, Subject
from tests.carriers.sample import NOW
from worker.carriers import KINDS
from worker.carriers.abilities import Amends, Labels, LocatesCourier, Quotes
from worker.carriers.port import Callback
from worker.errors import Forged, Refused
from worker.http.call import HARMLESS, Call, Operation

PERSONAL = ("Jane", "Doe", "4520304050", "Nørregade", "ring twice")
"""What the order says of its customer."""
EARLY = NOW - timedelta(hours=2)

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


def calls(subject: Subject) -> Iterator[Call]:
    """Describe everything that can be asked of a carrier, but its login."""
    codec, attempt = subject.codec, subject.attempt
    yield codec.book(subject.booking, NOW)
    yield from codec.track([attempt], NOW)
    yield from codec.find([subject.doubtful], NOW)
    yield codec.cancel(attempt, EARLY, allow_paid=False)
    if isinstance(codec, Quotes):
        yield codec.quote(subject.booking, NOW)
    if isinstance(codec, Labels):
        yield from (codec.labels(attempt, "pdf"), codec.labels(attempt, "zpl"))
    if isinstance(codec, LocatesCourier):
        yield codec.locate(attempt)
    yield from amendments(subject)


def amendments(subject: Subject) -> list[Call]:
    """Describe carrying other notes to a carrier that takes them, with the read that it begins with."""
    codec, attempt = subject.codec, subject.attempt
    if not isinstance(codec, Amends) or not codec.capabilities.amends:
        return []
    order = attempt.order.model_copy(update={"notes": "the other door"})
    first = codec.before_amend(attempt, NOW)
    change = codec.amend(replace(attempt, order=order), subject.seen if first else None, NOW)
    return [call for call in (first, change) if call is not None]


def test_every_kind_of_carrier_is_under_contract() -> None:
    assert {subject.codec.kind for subject in SUBJECTS.values()} - {"toy"} == set(KINDS)


@subjects
def test_a_create_is_described_alike_each_time_and_carries_our_reference(subject: Subject) -> None:
    first, second = (subject.codec.book(subject.booking, NOW) for _ in range(2))
    assert first == second
    assert (first.operation, first.attempt_ids) == (Operation.CREATE, (subject.booking.attempt_id,))
    assert subject.booking.reference in first.body.decode() or str(subject.booking.attempt_id) in first.body.decode()


@subjects
def test_nothing_of_the_customer_and_no_credential_shows_in_a_description(subject: Subject) -> None:
    for call in (*calls(subject), subject.codec.probe()):
        shown = f"{call!r} {call.path} {call.query} {call.context}"
        assert [word for word in (*PERSONAL, SECRET) if word in shown] == []
    assert SECRET not in repr(subject.codec.account)


@subjects
def test_every_call_stays_on_the_accounts_origin_with_its_credentials_in_the_headers(subject: Subject) -> None:
    for call in calls(subject):
        path = call.path
        assert path.startswith("/")
        assert not path.startswith("//")
        assert set("?#\\ ").isdisjoint(path)
        assert SECRET.encode() not in call.body
        assert any(_unlocks(value) for _, value in call.headers)


def _unlocks(header: str) -> bool:
    return SECRET in header or SECRET in base64.b64decode(header.removeprefix("Basic ") + "==").decode("latin-1")


@subjects
def test_what_changes_nothing_is_not_mixed_up_with_what_does(subject: Subject) -> None:
    kinds = {call.operation for call in calls(subject)}
    assert {Operation.CREATE, Operation.READ, Operation.CANCEL} <= kinds
    assert [call.operation for call in calls(subject) if call.method == "GET"] == [
        call.operation
        for call in calls(subject)
        if call.method == "GET" and (call.operation in HARMLESS or subject.codec.kind == "cervo")  # C-45
    ]


@subjects
def test_the_probe_is_about_no_order_and_says_who_asks(subject: Subject) -> None:
    call = subject.codec.probe()
    assert (call.operation, call.attempt_ids, bool(call.headers)) == (Operation.PROBE, (), True)


@subjects
def test_only_what_stands_at_the_carrier_is_tracked(subject: Subject) -> None:
    codec = subject.codec
    both = codec.track([subject.attempt, replace(subject.doubtful, id=2)], NOW)
    assert {key for call in both for key in call.attempt_ids} == {subject.attempt.id}
    assert (codec.track([], NOW), codec.track([subject.doubtful], NOW)) == ([], [])


@subjects
def test_a_look_up_is_described_exactly_where_the_carrier_has_one(subject: Subject) -> None:
    codec = subject.codec
    described = codec.find([subject.doubtful], NOW)
    assert bool(described) is codec.capabilities.find
    assert {key for call in described for key in call.attempt_ids} == ({subject.doubtful.id} if described else set())
    assert codec.find([], NOW) == []


@subjects
def test_a_change_is_described_alike_each_time_and_about_one_order(subject: Subject) -> None:
    described = amendments(subject)
    assert described == amendments(subject)
    assert [call.operation for call in described][-1:] == [Operation.AMEND] * subject.codec.capabilities.amends
    assert {call.attempt_ids for call in described} <= {(subject.attempt.id,)}


@subjects
def test_a_cancel_needs_the_carriers_reference(subject: Subject) -> None:
    with pytest.raises(Refused) as refused:
        subject.codec.cancel(subject.doubtful, EARLY, allow_paid=True)
    assert refused.value.reason is Reason.UNKNOWN


@subjects
def test_nothing_that_was_not_offered_can_be_confirmed(subject: Subject) -> None:
    for accept in (True, False):
        with pytest.raises(Refused):
            subject.codec.confirm(subject.attempt, accept=accept)


@subjects
@pytest.mark.parametrize(
    "stranger",
    [Callback("POST", b"{}"), Callback("POST", b"{}", {"x-dv-signature": "0" * 64}), Callback("GET", b"", token="")],
    ids=["nothing", "a wrong signature", "an empty token"],
)
def test_a_stranger_s_callback_is_forged(subject: Subject, stranger: Callback) -> None:
    with pytest.raises(Forged):
        subject.codec.authenticate(stranger)


@subjects
def test_a_carrier_says_of_itself_what_it_does(subject: Subject) -> None:
    codec, says = subject.codec, subject.codec.capabilities
    assert codec.account.kind == codec.kind
    assert isinstance(codec.account, codec.account_type)
    assert (says.callbacks == "none") is (subject.callback is None)
    assert isinstance(codec, Amends) or not says.amends
    assert says.cadence.shortest > 0
    assert (says.track_batch > 0, says.max_creates > 0, says.max_body > 0) == (True, True, True)
