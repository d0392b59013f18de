"""What every carrier promises of the texts in its answers.

They can be stored and published, contain no customer data, and change no path of a call.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.carriers.contract.subjects import SUBJECTS, Subject
from tests.carriers.contract.test_answers import read, result_of
from tests.carriers.contract.test_requests import PERSONAL
from tests.carriers.sample import NOW
from worker.carriers.abilities import Labels, LocatesCourier
from worker.carriers.port import Booked, Observation
from worker.errors import Refused
from worker.http.call import Reply

UNPRINTABLE = "\ud800 odd\x1b[2J\r\n" + "long" * 5_000
ECHO = " for Jane Doe, Nørregade 7 (20304050): ring twice"
TRAVERSAL = "../../x?y#z"

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)


def altered(reply: Reply, text: str, *, after: bool = False) -> Iterator[Reply]:
    """Yield an answer with each of its texts in turn replaced by this one, or followed by it."""
    try:
        document = json.loads(reply.body)
    except ValueError:
        document = reply.body.decode()
    for each in _altered(document, text, after=after):
        yield replace(reply, body=(each if isinstance(document, str) else json.dumps(each)).encode("utf-8", "replace"))


def _altered(value: Any, text: str, *, after: bool) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: each} for each in _altered(part, text, after=after))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from ([*value[:at], each, *value[at + 1 :]] for each in _altered(part, text, after=after))
    elif value is None or isinstance(value, str):
        yield f"{value or ''}{text}" if after else text


def observed(subject: Subject, text: str, *, after: bool) -> Iterator[Observation]:
    """Yield every observation of answers with such a text."""
    for reply in (each for whole in subject.booked for each in altered(whole, text, after=after)):
        booked = result_of(lambda reply=reply: subject.codec.read_booking(subject.booking, reply, NOW))  # type: ignore[misc]
        if isinstance(booked, Booked):
            yield booked.observation
    for reply in (
        *altered(subject.tracked, text, after=after),
        *altered(subject.with_unknown_status, text, after=after),
    ):
        seen = result_of(lambda reply=reply: read(subject, reply))  # type: ignore[misc]
        if isinstance(seen, dict):
            yield from (each for found in seen.values() for each in found)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for part in (*value.keys(), *value.values()) for text in texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in texts(part))
    elif isinstance(value, str):
        yield value


@subjects
@pytest.mark.quirk("X-11")
@pytest.mark.parametrize("after", [False, True])
def test_every_text_of_a_carrier_can_be_stored_and_published(subject: Subject, *, after: bool) -> None:
    for seen in observed(subject, UNPRINTABLE, after=after):
        for text in texts(asdict(seen)):
            assert text.encode().decode() == text
            assert (text.isprintable(), len(text) <= 2_000) == (True, True)


@subjects
@pytest.mark.quirk("X-15")
def test_the_customer_is_removed_from_a_refusal_that_repeats_the_order(subject: Subject) -> None:
    codec = subject.codec
    for reply in (each for whole in subject.refused for each in altered(whole, ECHO, after=True)):
        refused = result_of(lambda reply=reply: codec.read_booking(subject.booking, reply, NOW))  # type: ignore[misc]
        assert [word for word in (*PERSONAL, "20304050") if isinstance(refused, Refused) and word in refused.text] == []
    for reply in altered(subject.cancel_refused, ECHO, after=True):
        refused = result_of(lambda reply=reply: codec.read_cancel(reply, subject.attempt))  # type: ignore[misc]
        assert [word for word in (*PERSONAL, "20304050") if isinstance(refused, Refused) and word in refused.text] == []


@subjects
@pytest.mark.quirk("X-15")
def test_the_customer_is_removed_from_reasons_and_raw_texts(subject: Subject) -> None:
    for seen in observed(subject, ECHO, after=True):
        published = f"{seen.reason_text} {seen.raw.text if seen.raw else ''}"
        assert [word for word in (*PERSONAL, "20304050") if word in published] == []


@subjects
@pytest.mark.quirk("X-10")
def test_no_id_of_a_carrier_changes_the_path_of_a_call(subject: Subject) -> None:
    codec = subject.codec
    refs = {seen.ref for after in (False, True) for seen in observed(subject, TRAVERSAL, after=after)} - {None}
    for ref in refs:
        attempt = replace(subject.attempt, ref=ref)
        calls = [*codec.track([attempt], NOW), result_of(lambda it=attempt: codec.cancel(it, NOW, allow_paid=True))]  # type: ignore[misc]
        calls += [result_of(lambda it=attempt: codec.labels(it, "pdf"))] if isinstance(codec, Labels) else []  # type: ignore[misc]
        calls += [result_of(lambda it=attempt: codec.locate(it))] if isinstance(codec, LocatesCourier) else []  # type: ignore[misc]
        assert [call for call in calls if ".." in getattr(call, "path", "") or "?" in getattr(call, "path", "")] == []
