"""docs/messages.md and the samples in the published documents are what the program does now."""

import json
from typing import Any

import pytest

from docs.write_messages import CLOSED, OPEN, PAGE, SAMPLES, render
from schemas.asyncapi import MESSAGES
from schemas.events import EventType
from schemas.messages import read_message
from schemas.vocabulary import Vocabulary
from tests.services.real_samples import real_samples

Samples = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def committed() -> Samples:
    return dict(json.loads(SAMPLES.read_text()))


def test_the_committed_samples_are_what_the_program_reads_and_publishes(committed: Samples) -> None:
    assert committed == real_samples(), "run `make docs`"


def test_the_committed_page_is_what_the_models_and_the_samples_make(committed: Samples) -> None:
    assert PAGE.read_text() == render(committed), "run `make docs`"


def test_every_type_has_a_sample(committed: Samples) -> None:
    kinds = {side: {each["document"]["type"] for each in found} for side, found in committed.items()}
    assert kinds == {"messages": set(MESSAGES), "events": set(EventType)}


def test_every_sample_of_a_message_is_read(committed: Samples) -> None:
    for each in committed["messages"]:
        message = read_message(each["document"])
        assert (message.type, message.data.order_id, message.ignored) == (each["document"]["type"], "2011", frozenset())


def test_the_page_lists_every_published_vocabulary() -> None:
    assert {*CLOSED, *OPEN} == set(Vocabulary.__subclasses__())
