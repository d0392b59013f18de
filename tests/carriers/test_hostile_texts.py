"""Hostile texts: every carrier is sent what the customer wrote, and no text changes anything else of a request."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.carriers.sample import BROKEN, CODECS, NOW, TEXTS, booking
from worker.carriers.port import Booking
from worker.errors import Refused
from worker.http.call import Call


def _form(body: bytes) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(body.decode("ascii"), keep_blank_values=True).items()}


SENT: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "cervo": lambda body: (json.loads(body)["customer"], json.loads(body)["notes"]),
    "borzo": lambda body: (
        json.loads(body)["points"][1]["contact_person"]["name"],
        json.loads(body)["points"][1]["note"],
    ),
    "form": lambda body: (f"{_form(body)['firstname']} {_form(body)['lastname']}".strip(), _form(body)["remarks"]),
    "json": lambda body: (
        f"{json.loads(body)['firstname']} {json.loads(body)['lastname']}".strip(),
        json.loads(body)["remarks"],
    ),
}
"""Where the customer's name and notes are in each carrier's request."""


def shape(call: Call) -> tuple[Any, ...]:
    return call.method, call.path, call.query, call.headers


@pytest.mark.fault("F-49", "F-50")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("carrier", CODECS)
def test_a_carrier_is_sent_exactly_what_the_customer_wrote(carrier: str, text: str) -> None:
    call = CODECS[carrier].book(booking(name=text, notes=text), NOW)
    name, notes = SENT[carrier](call.body)
    assert (name, notes.removeprefix(f"#{booking().reference} 2011 / ")) == (text, text)


@pytest.mark.fault("F-50")
@pytest.mark.parametrize("text", [*TEXTS, BROKEN])
@pytest.mark.parametrize("carrier", CODECS)
def test_no_text_reaches_the_headers_or_the_path_of_a_request(carrier: str, text: str) -> None:
    codec = CODECS[carrier]
    strange = booking(text, text, street=f"{text} 7", unit=text, city=text)
    assert shape(codec.book(strange, NOW)) == shape(codec.book(booking(), NOW))


@pytest.mark.parametrize("carrier", ["cervo", "form", "json"])
def test_control_characters_are_spaces_for_carriers_that_take_one_line(carrier: str) -> None:
    name, _ = SENT[carrier](CODECS[carrier].book(booking(name=BROKEN), NOW).body)
    assert name == "Jane X-Evil: 1 GET / HTTP/1.1"


@pytest.mark.fault("F-50")
@pytest.mark.quirk("X-02")
@pytest.mark.parametrize(
    "phone",
    [
        "+4520304050\r\nX-Evil: 1",
        "+45 20\x0030",
        "+4520304050;isub=1",
        "\u0662\u0660\u0663\u0660\u0664\u0660\u0665\u0660x",
    ],
)
@pytest.mark.parametrize("carrier", CODECS)
def test_a_strange_telephone_number_is_sent_as_digits_or_refused(carrier: str, phone: str) -> None:
    plain = booking()
    customer = plain.order.customer.model_copy(update={"phone": phone})
    strange = replace(plain, order=plain.order.model_copy(update={"customer": customer}))
    assert _sent(carrier, strange) in {"refused", _sent(carrier, plain)}


def _sent(carrier: str, order: Booking) -> bytes | str:
    try:
        return CODECS[carrier].book(order, NOW).body
    except Refused:
        return "refused"


@pytest.mark.fault("F-49")
@pytest.mark.quirk("B-39")
def test_an_address_of_four_byte_letters_is_sent_whole_up_to_the_limit_and_refused_beyond() -> None:
    codec, rest = CODECS["borzo"], len(", Odense C, 5000")
    whole = json.loads(codec.book(booking(street="🍕" * (350 - rest)), NOW).body)["points"][1]["address"]
    assert whole == "🍕" * (350 - rest) + ", Odense C, 5000"
    with pytest.raises(Refused, match=r"dropoff\.street: 1 to 350 characters"):
        codec.book(booking(street="🍕" * (351 - rest)), NOW)


@pytest.mark.fault("F-49")
@pytest.mark.quirk("C-20", "O-24")
@pytest.mark.parametrize(("carrier", "most"), [("cervo", 500), ("borzo", 500), ("form", 250), ("json", 250)])
def test_notes_are_cut_between_letters_of_any_number_of_bytes(carrier: str, most: int) -> None:
    _, notes = SENT[carrier](CODECS[carrier].book(booking(notes="🍕" * 600), NOW).body)
    reference = f"#{booking().reference} 2011 / " if most == 250 else ""
    assert notes == reference + "🍕" * (most - len(reference))
