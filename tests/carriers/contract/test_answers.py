"""What every carrier promises of the answers that it reads."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import FINAL, DeliveryStatus
from tests.carriers.contract.subjects import SUBJECTS, Subject
from tests.carriers.sample import NOW
from worker.carriers.abilities import Amends, Labels, ListsOrders, LocatesCourier, Quotes, VerifiesAccount
from worker.carriers.port import AttemptView, Booked, Callback, Observation, Reading
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, Reply

HTML = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
UNDOCUMENTED = {
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
"""Answers that no document has."""
CREATED = (DeliveryStatus.CREATED, DeliveryStatus.AWAITING_CONFIRMATION)

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
undocumented = pytest.mark.parametrize("reply", UNDOCUMENTED.values(), ids=UNDOCUMENTED)


def result_of(act: Callable[[], object]) -> object:
    """Return what a reader returns, or the CarrierError that it raises; any other exception passes."""
    try:
        return act()
    except CarrierError as error:
        return error


def truncated(replies: Iterable[Reply]) -> list[Reply]:
    return [replace(reply, body=reply.body[:size]) for reply in replies for size in _cuts(len(reply.body))]


def _cuts(length: int) -> tuple[int, ...]:
    return (1, length // 2, length - 3)


def read(subject: Subject, reply: Reply, attempt: AttemptView | None = None) -> dict[int, tuple[Observation, ...]]:
    """Read one reply to each call that covers the attempt, and return the observations."""
    attempt = attempt or subject.attempt
    readings = [subject.codec.read(call, reply, [attempt], NOW) for call in subject.codec.track([attempt], NOW)]
    return {key: seen for reading in readings for key, seen in reading.observations.items()}


# --- creates ---


@subjects
def test_a_documented_success_is_a_booking_with_a_reference(subject: Subject) -> None:
    for reply in subject.booked:
        first, second = (subject.codec.read_booking(subject.booking, reply, NOW) for _ in range(2))
        assert isinstance(first, Booked)
        assert (first, bool(first.observation.ref), first.observation.status in CREATED) == (second, True, True)
        assert first.offer is None or first.observation.status is DeliveryStatus.AWAITING_CONFIRMATION


@subjects
def test_a_documented_refusal_is_a_refusal_without_the_customers_data(subject: Subject) -> None:
    for reply in subject.refused:
        with pytest.raises(Refused) as refused:
            subject.codec.read_booking(subject.booking, reply, NOW)
        assert "Jane" not in str(refused.value)


@subjects
@undocumented
def test_an_undocumented_answer_leaves_the_outcome_of_a_create_unknown(subject: Subject, reply: Reply) -> None:
    with pytest.raises(Uncertain):
        subject.codec.read_booking(subject.booking, reply, NOW)


@subjects
def test_a_truncated_success_and_one_with_a_server_error_leave_the_outcome_of_a_create_unknown(
    subject: Subject,
) -> None:
    failed = [replace(reply, status=500) for reply in subject.booked]
    for reply in [*failed, *(truncated(subject.booked) if subject.detects_truncation else [])]:
        with pytest.raises(Uncertain):
            subject.codec.read_booking(subject.booking, reply, NOW)


@subjects
def test_an_unauthorized_answer_is_an_error_of_the_account(subject: Subject) -> None:
    if subject.codec.kind != "deliverit":  # D-09: an answer about an order may have a 401 because of the order
        assert _pauses_account(lambda: subject.codec.read_booking(subject.booking, subject.unauthorized, NOW))
    assert _pauses_account(lambda: subject.codec.read_probe(subject.unauthorized))


def _pauses_account(act: Callable[[], object]) -> bool:
    error = result_of(act)
    return isinstance(error, Unavailable) and error.account


# --- reads ---


@subjects
def test_a_read_shows_the_attempt_that_it_covers_and_no_other(subject: Subject) -> None:
    seen = read(subject, subject.tracked)
    assert set(seen) == {subject.attempt.id}
    assert seen[subject.attempt.id][-1].status is not None
    assert seen == read(subject, subject.tracked)
    other = replace(subject.attempt, id=2, ref="another", codec_state={})
    readings = [subject.codec.read(call, subject.tracked, [subject.attempt, other], NOW) for call in _tracks(subject)]
    assert {key for reading in readings for key in reading.observations} == {subject.attempt.id}


def _tracks(subject: Subject) -> list[Call]:
    return subject.codec.track([subject.attempt], NOW)


@subjects
def test_each_status_is_among_the_meanings_of_the_carriers_own(subject: Subject) -> None:
    codec, replies = subject.codec, (subject.tracked, subject.with_unknown_status)
    seen = [each for reply in replies for found in read(subject, reply).values() for each in found]
    seen += [codec.read_booking(subject.booking, reply, NOW).observation for reply in subject.booked]
    assert [each for each in seen if each.raw and each.status not in codec.meanings(each.raw)] == []


@subjects
@undocumented
def test_an_unreadable_answer_is_never_a_status_and_never_an_absence(subject: Subject, reply: Reply) -> None:
    codec, attempt, unanswered = subject.codec, subject.attempt, subject.unanswered
    reads = [(call, attempt) for call in codec.track([attempt], NOW)]
    for call, about in [*reads, *((call, unanswered) for call in codec.find([unanswered], NOW))]:
        error = result_of(lambda call=call, about=about: codec.read(call, reply, [about], NOW))  # type: ignore[misc]
        assert isinstance(error, Unavailable | Unreadable)


@subjects
def test_a_truncated_list_is_never_an_absence(subject: Subject) -> None:
    codec, unanswered = subject.codec, subject.unanswered
    for call in codec.find([unanswered], NOW):
        for reply in truncated([subject.tracked, subject.not_found]):
            assert isinstance(result_of(lambda: codec.read(call, reply, [unanswered], NOW)), Unavailable | Unreadable)  # noqa: B023


@subjects
def test_an_order_that_a_read_does_not_show_has_not_ended(subject: Subject) -> None:
    attempt = replace(subject.attempt, state="picked_up", rank=50)
    found = result_of(lambda: read(subject, subject.not_found, attempt))
    if isinstance(found, CarrierError):
        assert isinstance(found, Unavailable | Unreadable)
    else:
        assert isinstance(found, dict)
        assert [each.status for seen in found.values() for each in seen if each.status in FINAL] == []


@subjects
def test_an_unknown_status_is_kept_and_never_interpreted(subject: Subject) -> None:
    seen = read(subject, subject.with_unknown_status)[subject.attempt.id]
    assert [each.raw.code for each in seen if each.status is None and each.raw] == [subject.unknown_status]


@subjects
def test_a_list_shows_an_order_of_ours_and_nothing_of_its_customer(subject: Subject) -> None:
    codec, unanswered = subject.codec, subject.unanswered
    for call in codec.list_near(unanswered, NOW) if isinstance(codec, ListsOrders) else []:
        assert isinstance(codec, ListsOrders)
        for reply in (subject.tracked, subject.with_unknown_status):
            first, second = (codec.read_near(call, reply, unanswered, NOW) for _ in range(2))
            assert first == second
            assert [(each.ref, each.attempt_ids) for each in first.orders] == [
                (subject.ref, frozenset({unanswered.id}))
            ]
            assert [word for word in ("Jane", "20304050", "Nørregade", "900000001") if word in repr(first)] == []
        assert codec.read_near(call, subject.not_found, unanswered, NOW).orders == ()


@subjects
@undocumented
def test_an_unreadable_list_is_never_an_empty_one(subject: Subject, reply: Reply) -> None:
    codec, unanswered = subject.codec, subject.unanswered
    if not isinstance(codec, ListsOrders):
        return
    for call in codec.list_near(unanswered, NOW):
        error = result_of(lambda call=call: codec.read_near(call, reply, unanswered, NOW))  # type: ignore[misc]
        assert isinstance(error, Unavailable | Unreadable)


# --- cancels ---


@subjects
def test_a_cancel_is_accepted_refused_or_unknown(subject: Subject) -> None:
    codec, attempt = subject.codec, subject.attempt
    taken = result_of(lambda: codec.read_cancel(subject.cancelled, attempt))
    assert taken is None or (isinstance(taken, Observation) and taken.status is DeliveryStatus.CANCELLED)
    assert isinstance(result_of(lambda: codec.read_cancel(subject.cancel_refused, attempt)), Refused)
    for status in (500, 502, 503):
        assert isinstance(result_of(lambda status=status: codec.read_cancel(Reply(status, HTML), attempt)), Uncertain)  # type: ignore[misc]


# --- callbacks ---


@subjects
def test_a_repeated_callback_reports_nothing_new(subject: Subject) -> None:
    if (callback := subject.callback) is None:
        return
    codec = subject.codec
    codec.authenticate(callback)
    key = codec.callback_key(callback)
    assert key == codec.callback_key(callback)
    assert (key.ref, key.attempt_id, key.token) != (None, None, None)
    for attempt in (subject.attempt, replace(subject.unanswered, codec_state=subject.codec_state)):
        first = codec.read_callback(callback, attempt, NOW)
        after = replace(
            attempt,
            codec_state={**attempt.codec_state, **{k: v for each in first for k, v in each.codec_state.items()}},
        )
        again = codec.read_callback(callback, after, NOW)
        assert {each.status for each in again} <= {each.status for each in first}


# --- arbitrary bytes ---

KEYS = (
    "id", "status", "Status", "OrderStatus", "Date", "order_id", "is_successful", "order", "orders", "points", "errors",
    "parameter_errors", "error", "message", "push", "time", "cancelUrl", "acceptUrl", "order_driver", "done", "remarks",
    "state", "problem", "price", "labels", "content", "courier", "latitude", "warnings", "payment_amount",
)  # fmt: skip
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["N/A", "20:15"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)
BODIES = st.binary(max_size=80) | JSONISH.map(lambda value: json.dumps(value).encode())
STATUSES = st.sampled_from([200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 429, 500, 503]) | st.integers(100, 599)


def readers(subject: Subject, reply: Reply) -> list[Callable[[], object]]:
    codec, attempt, unanswered = subject.codec, subject.attempt, subject.unanswered
    callback = Callback("POST", reply.body, {"content-type": "application/json"}, reply.body.decode("latin-1"), "token")
    acts: list[Callable[[], object]] = [
        lambda: codec.read_booking(subject.booking, reply, NOW),
        lambda: codec.read_confirmation(reply, attempt, accept=True, now=NOW),
        lambda: codec.read_confirmation(reply, attempt, accept=False, now=NOW),
        lambda: codec.read_cancel(reply, attempt),
        lambda: codec.read_probe(reply),
        lambda: codec.callback_key(callback),
        lambda: codec.read_callback(callback, unanswered, NOW),
        lambda: [codec.read(call, reply, [attempt], NOW) for call in codec.track([attempt], NOW)],
        lambda: [codec.read(call, reply, [unanswered], NOW) for call in codec.find([unanswered], NOW)],
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
@settings(max_examples=settings().max_examples // 2)
@given(status=STATUSES, body=BODIES)
def test_an_arbitrary_answer_is_read_or_is_a_short_carrier_error(subject: Subject, status: int, body: bytes) -> None:
    for act in readers(subject, Reply(status, body)):
        answer = result_of(act)
        if isinstance(answer, CarrierError):
            assert len(str(answer)) <= 400
        if isinstance(answer, Booked):
            assert answer.observation.status in CREATED
        if isinstance(answer, Reading):
            assert answer.next_page is None or answer.next_page.path.startswith("/")
    if result_of(lambda: subject.codec.read_cancel(Reply(status, body), subject.attempt)) is None:
        assert 200 <= status < 300
