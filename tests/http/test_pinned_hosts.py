"""Every request goes to the account's own origin, whatever a carrier, the database or an operator says (I11)."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.carriers.sample import CODECS, NOW, booking
from worker.carriers.port import AttemptView, Carrier, Observation
from worker.errors import CarrierError
from worker.http.call import Call, Reply
from worker.http.gateway import build_request

HOSTS = (
    "https://evil.example",
    "http://169.254.169.254",
    "https://butik.deliverit.dk@evil.example",
    "https://butik.deliverit.dk.evil.example",
    "//evil.example",
    "https://evil.example\\@butik.deliverit.dk",
    "https://butik.deliverit.dk:22",
    "javascript:",
    "file://",
    "",
)
ENDS = (
    "RYGKaXMCSN94WfqPEivy",
    "..",
    "../../../latest/meta-data",
    "RYGKaXMC%2e%2e%2f",
    "RYGKaXMC\r\nHost: evil.example",
    "RYGKaXMC?to=https://evil.example",
    "RYGKaXMC#@evil.example",
    "RYGKaXMC/../../../login",
    "@evil.example",
)
TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(ENDS),
    st.builds(
        lambda host, verb, end: f"{host}/api/v1/orderdriver/{verb}/14/{end}",
        st.sampled_from(HOSTS),
        st.sampled_from(("accept", "deny", "cancel", "login")),
        st.sampled_from(ENDS),
    ),
)
STORED_KEYS = ("accept", "deny", "cancel", "company", "point_id", "delivery_id", "order_id")


def attempt_of(codec: Carrier, ref: str | None, refs: Mapping[str, str]) -> AttemptView:
    asked = booking()
    return AttemptView(
        asked.attempt_id,
        1,
        codec.kind,
        "created",
        asked.order,
        asked.store,
        NOW,
        NOW,
        ref=ref,
        codec_state=refs,
        rank=10,
    )


def calls_of(codec: Carrier, attempt: AttemptView) -> Iterator[Call]:
    """Yield every call that this attempt can cause."""
    builders: tuple[Callable[[], Call | list[Call] | None], ...] = (
        lambda: codec.book(booking(), NOW),
        lambda: codec.track([attempt], NOW),
        lambda: codec.find([attempt], NOW),
        lambda: codec.confirm(attempt, accept=True),
        lambda: codec.confirm(attempt, accept=False),
        lambda: codec.cancel(attempt, NOW, allow_paid=True),
        codec.probe,
    )
    for build in builders:
        try:
            built = build()
        except CarrierError:
            continue
        yield from built if isinstance(built, list) else [built] if built else []


def foreign_urls(codec: Carrier, attempt: AttemptView) -> list[str]:
    """Return the URLs that are not on the account's origin, or that leave its path upwards."""
    origin = httpx.URL(codec.account.base_url)
    urls = [build_request(codec.account, call).url for call in calls_of(codec, attempt)]
    return [str(url) for url in urls if _origin(url) != _origin(origin) or b".." in url.raw_path.split(b"?")[0]]


def _origin(url: httpx.URL) -> tuple[str, str, int | None, bytes]:
    return url.scheme, url.host, url.port, url.userinfo


@pytest.mark.fault("F-33")
@pytest.mark.quirk("X-10")
@settings(deadline=None)
@given(ref=st.none() | TEXT, refs=st.dictionaries(st.sampled_from(STORED_KEYS), TEXT))
@pytest.mark.parametrize("carrier", CODECS)
def test_no_stored_state_of_an_attempt_leads_a_request_to_another_origin(
    carrier: str, ref: str | None, refs: Mapping[str, str]
) -> None:
    codec = CODECS[carrier]
    assert foreign_urls(codec, attempt_of(codec, ref, refs)) == []


def _attempt_after(codec: Carrier, reply: Reply) -> AttemptView:
    """Return the attempt after a reply to a create: its reference and its codec state are stored."""
    try:
        found = codec.read_booking(booking(), reply, NOW).observation
    except CarrierError:
        found = Observation(None, None)
    return replace(attempt_of(codec, found.ref, found.codec_state), state=str(found.status or "submit_unknown"))


@pytest.mark.fault("F-33")
@pytest.mark.quirk("D-02", "X-10")
@settings(deadline=None)
@given(accept=TEXT, deny=TEXT, cancel=TEXT, order_id=TEXT, push=st.booleans())
@pytest.mark.parametrize("carrier", ["form", "json"])
def test_no_link_from_deliverit_leads_a_request_to_another_origin(
    carrier: str, accept: str, deny: str, cancel: str, order_id: str, *, push: bool
) -> None:
    codec = CODECS[carrier]
    document = {
        "DeliverItOpen": True,
        "order_driver": True,
        "push": push,
        "time": "18:20",
        "order_id": order_id,
        "acceptUrl": accept,
        "denyUrl": deny,
        "cancelUrl": cancel,
    }
    attempt = _attempt_after(codec, Reply(201, json.dumps(document).encode()))
    assert foreign_urls(codec, attempt) == []


@settings(deadline=None)
@given(body=TEXT.map(lambda text: text.encode("utf-8", "replace")))
def test_no_id_from_cervo_leads_a_request_to_another_origin(body: bytes) -> None:
    codec = CODECS["cervo"]
    assert foreign_urls(codec, _attempt_after(codec, Reply(200, body))) == []


@settings(deadline=None)
@given(order_id=TEXT | st.integers())
def test_no_order_from_borzo_leads_a_request_to_another_origin(order_id: str | int) -> None:
    codec = CODECS["borzo"]
    body = json.dumps({"is_successful": True, "order": {"order_id": order_id, "status": "new", "points": []}})
    assert foreign_urls(codec, _attempt_after(codec, Reply(200, body.encode()))) == []


@pytest.mark.quirk("D-02", "X-10")
def test_a_link_to_another_host_becomes_a_request_to_the_account_s_origin() -> None:
    document = {
        "DeliverItOpen": True,
        "order_driver": True,
        "push": False,
        "time": "18:20",
        "acceptUrl": "",
        "denyUrl": "",
    }
    link = "https://evil.example/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    codec = CODECS["form"]
    attempt = _attempt_after(codec, Reply(201, json.dumps({**document, "cancelUrl": link}).encode()))
    request = build_request(codec.account, codec.cancel(attempt, NOW, allow_paid=True))
    assert request.url == "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
