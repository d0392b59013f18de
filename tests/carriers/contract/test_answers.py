"""What every carrier promises of the answers it reads."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import FINAL, DeliveryStatus
from tests.carriers.contract.subjects import SUBJECTS, Subject
from tests.carriers.sample import NOW
from worker.carriers.abilities import Amends, Labels, LocatesCourier, Quotes, VerifiesAccount
from worker.carriers.port import AttemptView, Booked, Callback, Observation, Reading
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, Reply

HTML = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
STRANGE = {
    "a login page": Reply(200, HTML),
    "nothing": Reply(200, b""),
    "bytes": Reply(200, b"\x00\xff\xfe{"),
    "too deep": Reply(200, b"[" * 100_000),
    "null": Reply(200, b"null"),
    "a list": Reply(200, b"[]"),
    "an empty object": Reply(200, b"{}"),
    "a missing page": Reply(404, HTML),
    "a redirect": Reply(302, b"", {"location": "https://elsewhere.example/"}),
    "a server error": Reply(500, b"Internal Server Error"),
    "a gateway's page": Reply(502, HTML),
    "a maintenance page": Reply(503, HTML, {"retry-after": "120"}),
}
"""What no document has."""
YES = (DeliveryStatus.CREATED, DeliveryStatus.AWAITING_CONFIRMATION)

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
strange = pytest.mark.parametrize("reply", STRANGE.values(), ids=STRANGE)


def verdict(act: Callable[[], object]) -> object:
    """Give what a reader returns, or the CarrierError it raises; anything else goes through."""
    try:
        return act()
    except CarrierError as error:
        return error


def halves(replies: Iterable[Reply]) -> list[Reply]:
    return [replace(reply, body=reply.body[:size]) for reply in replies for size in _cuts(len(reply.body))]


def _cuts(length: int) -> tuple[int, ...]:
    return (1, length // 2, length - 3)


def read(subject: Subject, reply: Reply, attempt: AttemptView | None = None) -> dict[int, tuple[Observation, ...]]:
    """Read one reply to each call that covers the attempt; give what was seen."""
    attempt = attempt or subject.attempt
    readings = [subject.codec.read(call, reply, [attempt], NOW) for call in subject.codec.track([attempt], NOW)]
    return {key: seen for reading in readings for key, seen in reading.observations.items()}


# --- creates ---


@subjects
def test_a_documented_success_is_a_booking_with_a_reference(subject: Subject) -> None:
    for reply in subject.booked:
        first, second = (subject.codec.read_booking(subject.booking, reply, NOW) for _ in range(2))
        assert isinstance(first, Booked)
        assert (first, bool(first.observation.ref), first.observation.status in YES) == (second, True, True)
        assert first.offer is None or first.observation.status is DeliveryStatus.AWAITING_CONFIRMATION


@subjects
def test_a_documented_refusal_is_a_refusal_that_repeats_nothing_of_the_customers(subject: Subject) -> None:
    for reply in subject.refused:
        with pytest.raises(Refused) as refused:
            subject.codec.read_booking(subject.booking, reply, NOW)
        assert "Jane" not in str(refused.value)


@subjects
@strange
def test_whatever_else_a_create_is_answered_with_leaves_it_in_doubt(subject: Subject, reply: Reply) -> None:
    with pytest.raises(Uncertain):
        subject.codec.read_booking(subject.booking, reply, NOW)


@subjects
def test_half_a_success_and_one_with_a_servers_error_leave_a_create_in_doubt(subject: Subject) -> None:
    failed = [replace(reply, status=500) for reply in subject.booked]
    for reply in [*failed, *(halves(subject.booked) if subject.garbled else [])]:
        with pytest.raises(Uncertain):
            subject.codec.read_booking(subject.booking, reply, NOW)


@subjects
def test_an_account_that_is_shut_out_blames_no_order(subject: Subject) -> None:
    if subject.codec.kind != "deliverit":  # D-09: of an order, a 401 may mean the order
        assert _shuts_out(lambda: subject.codec.read_booking(subject.booking, subject.shut_out, NOW))
    assert _shuts_out(lambda: subject.codec.read_probe(subject.shut_out))


def _shuts_out(act: Callable[[], object]) -> bool:
    error = verdict(act)
    return isinstance(error, Unavailable) and error.account


# --- reads ---


@subjects
def test_a_read_tells_the_attempt_it_covers_and_nobody_else(subject: Subject) -> None:
    seen = read(subject, subject.seen)
    assert set(seen) == {subject.attempt.id}
    assert seen[subject.attempt.id][-1].status is not None
    assert seen == read(subject, subject.seen)
    other = replace(subject.attempt, id=2, ref="another", codec_state={})
    readings = [subject.codec.read(call, subject.seen, [subject.attempt, other], NOW) for call in _tracks(subject)]
    assert {key for reading in readings for key in reading.observations} == {subject.attempt.id}


def _tracks(subject: Subject) -> list[Call]:
    return subject.codec.track([subject.attempt], NOW)


@subjects
@strange
def test_what_cannot_be_read_is_never_a_status_and_never_an_absence(subject: Subject, reply: Reply) -> None:
    codec, attempt, doubtful = subject.codec, subject.attempt, subject.doubtful
    reads = [(call, attempt) for call in codec.track([attempt], NOW)]
    for call, about in [*reads, *((call, doubtful) for call in codec.find([doubtful], NOW))]:
        error = verdict(lambda call=call, about=about: codec.read(call, reply, [about], NOW))  # type: ignore[misc]
        assert isinstance(error, Unavailable | Unreadable)


@subjects
def test_half_a_list_is_never_an_absence(subject: Subject) -> None:
    codec, doubtful = subject.codec, subject.doubtful
    for call in codec.find([doubtful], NOW):
        for reply in halves([subject.seen, subject.gone]):
            assert isinstance(verdict(lambda: codec.read(call, reply, [doubtful], NOW)), Unavailable | Unreadable)  # noqa: B023


@subjects
def test_an_order_that_is_not_shown_has_not_ended(subject: Subject) -> None:
    attempt = replace(subject.attempt, state="picked_up", rank=50)
    found = verdict(lambda: read(subject, subject.gone, attempt))
    if isinstance(found, CarrierError):
        assert isinstance(found, Unavailable | Unreadable)
    else:
        assert isinstance(found, dict)
        assert [each.status for seen in found.values() for each in seen if each.status in FINAL] == []


@subjects
def test_a_word_that_nobody_explains_is_kept_and_guessed_at_by_nobody(subject: Subject) -> None:
    seen = read(subject, subject.odd)[subject.attempt.id]
    assert [each.raw.code for each in seen if each.status is None and each.raw] == [subject.odd_word]


# --- cancels ---


@subjects
def test_a_cancel_is_taken_refused_or_in_doubt(subject: Subject) -> None:
    codec, attempt = subject.codec, subject.attempt
    taken = verdict(lambda: codec.read_cancel(subject.taken, attempt))
    assert taken is None or (isinstance(taken, Observation) and taken.status is DeliveryStatus.CANCELLED)
    assert isinstance(verdict(lambda: codec.read_cancel(subject.not_taken, attempt)), Refused)
    for status in (500, 502, 503):
        assert isinstance(verdict(lambda status=status: codec.read_cancel(Reply(status, HTML), attempt)), Uncertain)  # type: ignore[misc]


# --- callbacks ---


@subjects
def test_a_callback_that_comes_twice_tells_nothing_twice(subject: Subject) -> None:
    if (callback := subject.callback) is None:
        return
    codec = subject.codec
    codec.authenticate(callback)
    key = codec.callback_key(callback)
    assert key == codec.callback_key(callback)
    assert (key.ref, key.attempt_id, key.token) != (None, None, None)
    for attempt in (subject.attempt, replace(subject.doubtful, codec_state=subject.refs)):
        first = codec.read_callback(callback, attempt, NOW)
        after = replace(
            attempt,
            codec_state={**attempt.codec_state, **{k: v for each in first for k, v in each.codec_state.items()}},
        )
        again = codec.read_callback(callback, after, NOW)
        assert {each.status for each in again} <= {each.status for each in first}


# --- any bytes at all ---

WORDS = (
    "id", "status", "Status", "OrderStatus", "Date", "order_id", "is_successful", "order", "orders", "points", "errors",
    "parameter_errors", "error", "message", "push", "time", "cancelUrl", "acceptUrl", "order_driver", "done", "remarks",
    "state", "problem", "price", "labels", "content", "courier", "latitude", "warnings", "payment_amount",
)  # fmt: skip
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["N/A", "20:15"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=12,
)
BODIES = st.binary(max_size=80) | JSONISH.map(lambda value: json.dumps(value).encode())
STATUSES = st.sampled_from([200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503]) | st.integers(100, 599)


def readers(subject: Subject, reply: Reply) -> list[Callable[[], object]]:
    codec, attempt, doubtful = subject.codec, subject.attempt, subject.doubtful
    callback = Callback("POST", reply.body, {"content-type": "application/json"}, reply.body.decode("latin-1"), "token")
    acts: list[Callable[[], object]] = [
        lambda: codec.read_booking(subject.booking, reply, NOW),
        lambda: codec.read_confirmation(reply, attempt, accept=True, now=NOW),
        lambda: codec.read_confirmation(reply, attempt, accept=False, now=NOW),
        lambda: codec.read_cancel(reply, attempt),
        lambda: codec.read_probe(reply),
        lambda: codec.callback_key(callback),
        lambda: codec.read_callback(callback, doubtful, NOW),
        lambda: [codec.read(call, reply, [attempt], NOW) for call in codec.track([attempt], NOW)],
        lambda: [codec.read(call, reply, [doubtful], NOW) for call in codec.find([doubtful], NOW)],
    ]
    if isinstance(codec, Quotes):
        acts.append(lambda: codec.read_quote(reply, NOW))
    if isinstance(codec, Labels):
        acts.append(lambda: codec.read_labels(reply, attempt))
    if isinstance(codec, LocatesCourier):
        acts.append(lambda: codec.read_location(reply, attempt))
    if isinstance(codec, Amends):
        acts += [lambda: codec.amend(attempt, reply, NOW), lambda: codec.read_amended(attempt, reply, NOW)]
    if isinstance(codec, VerifiesAccount):
        acts.append(lambda: codec.read_verification(reply))
    return acts


@subjects
@settings(max_examples=50)
@given(status=STATUSES, body=BODIES)
def test_no_answer_raises_anything_but_a_carrier_error_or_says_much(subject: Subject, status: int, body: bytes) -> None:
    for act in readers(subject, Reply(status, body)):
        answer = verdict(act)
        if isinstance(answer, CarrierError):
            assert len(str(answer)) <= 400
        if isinstance(answer, Booked):
            assert answer.observation.status in YES
        if isinstance(answer, Reading):
            assert answer.next_page is None or answer.next_page.path.startswith("/")
    if verdict(lambda: subject.codec.read_cancel(Reply(status, body), subject.attempt)) is None:
        assert 200 <= status < 300
