"""Callbacks: unsigned, in an undocumented form, and only a reason to read wherever a read is possible."""

import json
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import CancelledBy, DeliveryStatus
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Callback, CallbackKey, Courier, Observation, Raw
from worker.errors import CarrierError, Unreadable
from worker.http.call import Reply

S = DeliveryStatus

DOCUMENTED_NAMES = """
order_id Order id of your system
driver_name Driver name
driver_mobile Driver mobile
order_status Order status
cancel Reasons of cancelation
tracking Url of driver tracking
"""
PARAMETERS = {
    "order_id": "2011",
    "driver_name": "Fot testing",
    "driver_mobile": "599000111",
    "order_status": "2",
    "cancel": "",
    "tracking": "https://track.example/25",
}
MULTIPART = b"".join(
    f'--frontier\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
    for key, value in PARAMETERS.items()
)

FORMS = {
    "json": Callback("POST", json.dumps(PARAMETERS).encode(), {"content-type": "text/plain"}, token="t"),
    "json numbers": Callback(
        "POST", json.dumps(PARAMETERS | {"order_id": 2011, "order_status": 2}).encode(), token="t"
    ),
    "other names": Callback(
        "POST", json.dumps({key.title(): PARAMETERS[key] for key in PARAMETERS}).encode(), token="t"
    ),
    "form": Callback("POST", urlencode(PARAMETERS).encode(), token="t"),
    "query": Callback("GET", b"", query=urlencode(PARAMETERS), token="t"),
    "query and body": Callback(
        "POST", b'{"order_status": 2}', query=urlencode(PARAMETERS | {"order_status": "1"}), token="t"
    ),
    "multipart": Callback(
        "POST",
        MULTIPART + b"--frontier--\r\n",
        {"content-type": "multipart/form-data; boundary=frontier"},
        token="t",
    ),
}


def posted(**fields: object) -> Callback:
    return Callback("POST", json.dumps(fields).encode(), token="t")


def test_every_documented_parameter_is_in_the_sample() -> None:
    assert list(PARAMETERS) == [line.split(" ")[0] for line in DOCUMENTED_NAMES.strip().splitlines()]


@pytest.mark.quirk("C-24", "C-50")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_callback_is_read_in_every_form(
    codec: Cervo, unreferenced: AttemptView, now: datetime, form: Callback
) -> None:
    codec.authenticate(form)
    assert codec.callback_key(form) == CallbackKey(token="t")
    assert codec.read_callback(form, unreferenced, now) == (  # C-50, C-24
        Observation(
            S.COURIER_ASSIGNED,
            Raw("order", "2"),
            courier=Courier("Fot testing", "+966599000111", phone_guessed=True),
            tracking_url="https://track.example/25",
            codec_state={"last_code": "2"},
        ),
    )


@pytest.mark.quirk("C-50")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_callback_about_an_order_that_can_be_read_only_prompts_a_read(
    codec: Cervo, attempt: AttemptView, now: datetime, form: Callback
) -> None:
    assert codec.read_callback(form, attempt, now) == ()


@pytest.mark.quirk("C-50")
@pytest.mark.parametrize(
    "callback",
    [
        Callback("POST", b"", token="t"),
        Callback("GET", b"", token="t"),
        Callback("POST", b"<xml/>", token="t"),
        Callback("POST", b"[1]", token="t"),
        Callback("POST", b"{}", token="t"),
        Callback("POST", b'{"x": 1}', token="t"),
        Callback("GET", b"", query="x=1", token="t"),
        Callback("GET", b"", query="&".join("order_id=1" for _ in range(200)), token="t"),
        Callback("POST", b"\xff\xfe\x00", {"content-type": "multipart/form-data"}, token="t"),
    ],
    ids=["empty", "bare", "xml", "list", "object", "unknown", "query", "many", "multipart"],
)
def test_a_callback_without_a_documented_field_is_unreadable(
    codec: Cervo, unreferenced: AttemptView, now: datetime, callback: Callback
) -> None:
    with pytest.raises(Unreadable):
        codec.callback_key(callback)
    with pytest.raises(Unreadable):
        codec.read_callback(callback, unreferenced, now)


@pytest.mark.quirk("C-23", "C-32", "C-52")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, [(S.CREATED, "1")]),
        (2, [(S.COURIER_ASSIGNED, "2")]),
        (3, [(S.PICKED_UP, "3")]),
        ("4", [(S.DELIVERED, "4")]),
        (5, [(S.COURIER_WITHDRAWN, "5")]),
        (0, [(S.CANCELLED, "0")]),
        (6, [(S.CREATED, "6"), (None, "6")]),
        ("Completed", [(S.CREATED, "Completed"), (None, "Completed")]),
        ("", [(S.CREATED, "")]),
        (None, [(S.CREATED, "")]),
        (False, [(S.CREATED, "")]),
    ],
    ids=["1", "2", "3", "4", "5", "C-52 zero", "C-32", "C-52 label", "C-52 blank", "C-52 null", "C-52 false"],
)
def test_any_callback_proves_that_the_order_exists(
    codec: Cervo, unreferenced: AttemptView, now: datetime, code: object, expected: list[tuple[S | None, str]]
) -> None:
    seen = codec.read_callback(posted(order_id="2011", order_status=code), unreferenced, now)
    assert [(each.status, each.raw and each.raw.code) for each in seen] == expected


@pytest.mark.quirk("C-53")
@pytest.mark.parametrize(
    ("state", "rank", "code", "expected"),
    [
        ("picked_up", 50, 2, []),
        ("courier_assigned", 20, 1, []),
        ("courier_assigned", 20, 2, [S.COURIER_ASSIGNED]),
        ("courier_assigned", 20, 5, [S.COURIER_WITHDRAWN]),
        ("courier_withdrawn", 20, 1, [S.CREATED]),
        ("courier_withdrawn", 20, 2, [S.COURIER_ASSIGNED]),
        ("picked_up", 50, 5, [S.CANCELLED]),
        ("picked_up", 50, 6, [None]),
        ("picked_up", 50, "", []),
        ("delivered", 100, 0, []),
        ("delivered", 100, 5, []),
        ("delivered", 100, 6, []),
        ("cancelled", 100, 4, [S.DELIVERED]),
    ],
)
def test_a_callback_never_moves_an_attempt_back(
    codec: Cervo,
    unreferenced: AttemptView,
    now: datetime,
    state: str,
    rank: int,
    code: object,
    expected: list[S | None],
) -> None:
    known = replace(unreferenced, state=state, rank=rank)
    seen = codec.read_callback(posted(order_id="2011", order_status=code), known, now)
    assert [each.status for each in seen] == expected


@pytest.mark.quirk("C-51")
@pytest.mark.parametrize("name", ["2011", 2011, "A-7", "A-7-2", "P-1", "000000001YV", None, ""])
def test_every_form_of_our_order_id_is_recognised(
    codec: Cervo, unreferenced: AttemptView, now: datetime, name: object
) -> None:
    order = unreferenced.order.model_copy(update={"order_id": "P-1", "order_number": "A-7"})
    ours = replace(unreferenced, id=2011, number=2, order=order)
    assert len(codec.read_callback(posted(order_id=name, order_status=1), ours, now)) == 1


@pytest.mark.quirk("C-51")
def test_a_callback_with_another_order_s_id_is_ignored(codec: Cervo, unreferenced: AttemptView, now: datetime) -> None:
    assert codec.read_callback(posted(order_id="2012", order_status=4), unreferenced, now) == ()  # C-51


@pytest.mark.quirk("C-41")
def test_a_cancel_reason_is_kept_without_telephone_numbers(
    codec: Cervo, unreferenced: AttemptView, now: datetime
) -> None:
    callback = posted(order_id="2011", order_status="0", cancel="call 0599 000 111,\nno answer", driver_name="A")
    assert codec.read_callback(callback, replace(unreferenced, cancel_requested=True), now) == (
        Observation(
            S.CANCELLED,
            Raw("order", "0"),
            cancelled_by=CancelledBy.MERCHANT,
            reason_text="call ***, no answer",
            codec_state={"last_code": "0"},
        ),
    )


@pytest.mark.quirk("C-41", "X-15")
@pytest.mark.parametrize(
    ("cancel", "reason"),
    [
        ("TESTING did not open", "*** did not open"),
        ("nobody at address of the customer, wait", "nobody at ***, wait"),
        ("retesting later", "retesting later"),
        ("." * 290 + " Testing customer", "." * 290 + " ***"),
        ("." * 297 + " 0599000111", "." * 297 + " **"),
        ("\ud800\x00", None),
    ],
)
def test_a_cancel_reason_has_no_part_of_a_name_or_number(
    codec: Cervo, attempt: AttemptView, now: datetime, cancel: str, reason: str | None
) -> None:
    recorded = codec.read_callback(posted(order_id="2011", order_status="0", cancel=cancel), attempt, now)
    assert recorded == ((Observation(None, None, codec_state={"cancel_reason": reason}),) if reason else ())


@pytest.mark.quirk("C-50")
def test_a_deeply_nested_multipart_callback_is_unreadable(codec: Cervo) -> None:
    body = b"".join(b"--%d\r\nContent-Type:multipart/x;boundary=%d\r\n\r\n" % (at, at + 1) for at in range(1400))
    callback = Callback("POST", body, {"content-type": "multipart/form-data; boundary=0"}, token="t")
    with pytest.raises(Unreadable):
        codec.callback_key(callback)


@pytest.mark.quirk("C-41", "C-50")
def test_a_callback_records_its_cancel_reason_for_the_read_that_it_prompts(
    codec: Cervo, attempt: AttemptView, now: datetime
) -> None:
    callback = posted(order_id="2011", order_status="5", cancel="Testing customer, 0599 000 111, did not answer")
    [recorded] = codec.read_callback(callback, attempt, now)
    assert recorded == Observation(None, None, codec_state={"cancel_reason": "***, ***, did not answer"})
    later = replace(attempt, codec_state=recorded.codec_state)
    [call] = codec.track([later], now)
    [withdrawn], [again] = (
        codec.read(call, Reply(200, b'{"Status": %d}' % code), [later], now).observations[attempt.id] for code in (5, 2)
    )
    assert (withdrawn.status, withdrawn.reason_text) == (S.COURIER_WITHDRAWN, "***, ***, did not answer")
    assert (again.status, again.reason_text, again.codec_state) == (
        S.COURIER_ASSIGNED,
        None,
        {"last_code": "2", "cancel_reason": ""},
    )


@pytest.mark.quirk("C-51")
def test_a_callback_with_cervo_s_id_of_the_order_records_its_cancel_reason(
    codec: Cervo, attempt: AttemptView, now: datetime
) -> None:
    callback = posted(order_id=attempt.ref, order_status="0", cancel="closed")
    assert codec.read_callback(callback, attempt, now) == (
        Observation(None, None, codec_state={"cancel_reason": "closed"}),
    )


@pytest.mark.quirk("C-51")
def test_a_callback_about_another_order_records_no_cancel_reason(
    codec: Cervo, attempt: AttemptView, now: datetime
) -> None:
    assert codec.read_callback(posted(order_id="2012", order_status="0", cancel="closed"), attempt, now) == ()


@settings(deadline=None)
@given(
    body=st.binary()
    | st.dictionaries(st.sampled_from([*PARAMETERS, "x"]), st.text()).map(lambda raw: json.dumps(raw).encode()),
    query=st.text()
    | st.dictionaries(st.sampled_from([*PARAMETERS, "x"]), st.text()).map(lambda raw: urlencode(raw, errors="replace")),
    content_type=st.sampled_from(["", "multipart/form-data; boundary=x", "multipart/mixed", "multipart/\r\n a=b"])
    | st.text(),
)
def test_a_callback_raises_only_carrier_errors(
    codec: Cervo, unreferenced: AttemptView, now: datetime, body: bytes, query: str, content_type: str
) -> None:
    callback = Callback("POST", body, {"content-type": content_type}, query, token="t")
    try:
        codec.callback_key(callback)
        codec.read_callback(callback, unreferenced, now)
    except CarrierError:
        return


@settings(deadline=None)
@given(parts=st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=4), head=st.text(max_size=40))
def test_a_multipart_callback_raises_only_carrier_errors(
    codec: Cervo, parts: list[tuple[bytes, bytes]], head: str
) -> None:
    body = b"".join(b"--x\r\nContent-Disposition: form-data; " + line + b"\r\n\r\n" + text for line, text in parts)
    try:
        codec.callback_key(
            Callback("POST", body, {"content-type": f"multipart/form-data; boundary=x; {head}"}, token="t")
        )
    except CarrierError:
        return
