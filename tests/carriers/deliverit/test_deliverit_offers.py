"""Offers of another pickup time: accept and deny."""

import json
from datetime import UTC, datetime

import pytest

from schemas.status import DeliveryStatus, Reason
from tests.carriers.deliverit.replies import (
    ACCEPTED,
    ALREADY_ACCEPTED,
    DENIED,
    DENY_NOT_ALLOWED,
    LAPSED,
    NOT_ALLOWED,
    error_of,
    make_reply,
)
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Observation, Raw
from worker.errors import CarrierError, Refused, Throttled, Uncertain, Unreadable
from worker.http.call import Operation


@pytest.mark.quirk("D-02")
@pytest.mark.parametrize(
    ("accept", "path"),
    [
        (True, "/api/v1/orderdriver/accept/14/acceptTOKEN01"),
        (False, "/api/v1/orderdriver/deny/14/denyTOKEN0001"),
    ],
)
def test_an_accept_and_a_deny_go_to_the_accounts_own_origin(
    codec: DeliverIt, offered: AttemptView, path: str, *, accept: bool
) -> None:
    call = codec.confirm(offered, accept=accept)
    assert (call.operation, call.method, call.path, call.body) == (Operation.CONFIRM, "POST", path, b"")  # D-02
    assert call.attempt_ids == (offered.id,)


def test_an_offer_without_links_can_be_neither_accepted_nor_denied(codec: DeliverIt, attempt: AttemptView) -> None:
    assert isinstance(error_of(lambda: codec.confirm(attempt, accept=True)), Refused)
    assert isinstance(error_of(lambda: codec.confirm(attempt, accept=False)), Refused)


@pytest.mark.quirk("D-01", "D-32")
def test_an_accepted_offer_is_created_with_its_new_cancel_link(
    account: DeliverItAccount, offered: AttemptView, now: datetime
) -> None:
    codec = DeliverIt(account.model_copy(update={"company": "149"}), {})
    assert codec.read_confirmation(make_reply(202, ACCEPTED), offered, accept=True, now=now) == Observation(
        status=DeliveryStatus.CREATED,
        raw=Raw("accept", "202"),
        ref="RYGKaXMCSN94WfqPEivy",
        codec_state={
            "cancel_token": "RYGKaXMCSN94WfqPEivy",
            "earlier_cancel_tokens": "F64u3fbxNdaoTyAcOisM",
            "agreed_pickup": "2026-11-21T18:23:00+00:00",
            "listed_pickup": "2026-11-21T18:23:00+00:00",
        },
        pickup_eta=datetime(2026, 11, 21, 18, 23, tzinfo=UTC),
        dropoff_eta=datetime(2026, 11, 21, 18, 42, tzinfo=UTC),
        notes=("link_host_differs",),  # D-01
    )


@pytest.mark.quirk("D-33")
def test_a_repeated_accept_succeeds_while_an_offer_is_open(
    codec: DeliverIt, offered: AttemptView, now: datetime
) -> None:
    observation = codec.read_confirmation(make_reply(200, ALREADY_ACCEPTED), offered, accept=True, now=now)  # D-33
    assert observation.status is DeliveryStatus.CREATED
    assert (observation.ref, observation.raw) == ("uyPtNITg5cAOoKDViG2e", Raw("accept", "200"))
    assert observation.pickup_eta == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)


def test_an_accept_without_a_cancel_link_keeps_the_earlier_one(
    codec: DeliverIt, offered: AttemptView, now: datetime
) -> None:
    body = {**json.loads(ACCEPTED), "cancelurl": ""}
    observation = codec.read_confirmation(make_reply(202, body), offered, accept=True, now=now)
    assert (observation.ref, observation.notes) == (None, ("cancel_link_missing",))


def test_a_denied_offer_is_rejected(codec: DeliverIt, offered: AttemptView, now: datetime) -> None:
    assert codec.read_confirmation(make_reply(200, DENIED), offered, accept=False, now=now) == Observation(
        status=DeliveryStatus.REJECTED, raw=Raw("deny", "200"), reason=Reason.TIME_DENIED
    )


@pytest.mark.quirk("D-30", "D-34")
@pytest.mark.parametrize(
    ("accept", "status", "body", "reason"),
    [
        pytest.param(True, 400, LAPSED, Reason.OFFER_LAPSED, id="D-30"),
        pytest.param(True, 400, NOT_ALLOWED, Reason.UNKNOWN, id="accept-400"),
        pytest.param(False, 400, DENY_NOT_ALLOWED, Reason.UNKNOWN, id="D-34"),
        pytest.param(False, 200, DENY_NOT_ALLOWED, Reason.UNKNOWN, id="deny-200-error"),
    ],
)
def test_a_documented_error_refuses_an_accept_or_a_deny(
    codec: DeliverIt, offered: AttemptView, now: datetime, status: int, body: str, reason: Reason, *, accept: bool
) -> None:
    error = error_of(lambda: codec.read_confirmation(make_reply(status, body), offered, accept=accept, now=now))
    assert isinstance(error, Refused)
    assert error.reason is reason


@pytest.mark.quirk("D-09")
@pytest.mark.parametrize(
    ("accept", "status", "body", "error"),
    [
        pytest.param(True, 401, NOT_ALLOWED, Unreadable, id="accept-401-D-09"),
        pytest.param(False, 401, NOT_ALLOWED, Unreadable, id="deny-401-D-09"),
        pytest.param(True, 429, "", Throttled, id="accept-429"),
        pytest.param(True, 202, "<html>", Uncertain, id="accept-202-unparsable"),
        pytest.param(True, 202, ALREADY_ACCEPTED, Uncertain, id="accept-202-order-driver-false"),
        pytest.param(True, 200, DENIED, Uncertain, id="accept-200-other"),
        pytest.param(True, 400, "<html>", Uncertain, id="accept-400-html"),
        pytest.param(True, 500, ACCEPTED, Uncertain, id="accept-500"),
        pytest.param(False, 200, "{}", Uncertain, id="deny-200-without-error"),
        pytest.param(False, 500, DENY_NOT_ALLOWED, Uncertain, id="deny-500"),
    ],
)
def test_any_other_reply_to_an_accept_or_a_deny_decides_nothing(
    codec: DeliverIt,
    offered: AttemptView,
    now: datetime,
    status: int,
    body: str,
    error: type[CarrierError],
    *,
    accept: bool,
) -> None:
    raised = error_of(lambda: codec.read_confirmation(make_reply(status, body), offered, accept=accept, now=now))
    assert type(raised) is error


@pytest.mark.quirk("D-33")
def test_a_repeated_accept_without_an_open_offer_has_an_unknown_outcome(
    codec: DeliverIt, attempt: AttemptView, now: datetime
) -> None:
    raised = error_of(lambda: codec.read_confirmation(make_reply(200, ALREADY_ACCEPTED), attempt, accept=True, now=now))
    assert isinstance(raised, Uncertain)  # D-33
