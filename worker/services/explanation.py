"""Decide the stored inputs of a delivery again with today's code, settings and mappings. Nothing is sent or written.

The whole life of a delivery cannot be replayed, because messages are stored without their content, and most reads are
not stored. So each input is decided by itself.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic_core import from_json

from schemas.events import EventType
from schemas.status import DeliveryStatus, Detail
from worker.carriers.abilities import Amends
from worker.carriers.port import CallbackKey, Carrier, Raw
from worker.clock import Clock
from worker.database import callbacks, carrier_calls, outbox
from worker.database.callbacks import StoredCallback
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.domain import explanation, lifecycle
from worker.domain.callback_decision import CallbackDecision, Meaning
from worker.domain.carrier_terms import TermsByAccount, attempt_view, build_booking
from worker.domain.delivery import Attempt, Delivery, OfferDecision
from worker.domain.explanation import Finding, Input, Possible, decide_status_again, undecided
from worker.errors import CarrierError
from worker.http.call import Operation, Reply, Verdict, verdict_of
from worker.http.heads import LONGEST
from worker.http.redaction import HIDDEN
from worker.services.accounts import CarrierAccounts
from worker.services.call_records import REPEATED
from worker.services.carrier_calls import REUSED_ID
from worker.services.outcomes import run_codec, unreadable_reply

STATE_DECIDES = frozenset({Operation.CONFIRM, Operation.AMEND, Operation.FIND})
"""The operations whose replies are read with a state of the attempt that is not stored."""
SIZE = re.compile(r"\d+ bytes")
"""What the record has in place of a reply that is not shown."""
NO_ACCOUNT = "no account has this name, or it has never logged in"
CUT_OFF = "the recorded reply is cut off"
CHANGED_ORDER = "the order has changed since"
INPUTS = list(Input)


@dataclass(frozen=True)
class Explanations:
    """Decide the stored inputs of a delivery again."""

    database: Database
    accounts: CarrierAccounts
    terms: TermsByAccount
    clock: Clock

    def of(self, delivery: Delivery) -> list[Finding]:
        """Return a finding for each stored input, the oldest first. Findings contain no customer data."""
        if delivery.is_erased:
            return []  # its inputs were erased
        attempts, read, now = [each.id for each in delivery.attempts], self.database.read, self.clock()
        events = [json.loads(body) for _, body in read(outbox.events, keys=[delivery.id])]
        found = [
            *explanation.choose_again(delivery, self.terms, now, fell_back=_fell_back(delivery, events)),
            *self._calls(delivery, read(carrier_calls.of_attempts, attempts)),
            *(self._callback(delivery, each) for each in read(callbacks.of_attempts, attempts)),
            *self._statuses(delivery, events),
            *explanation.plan_again(delivery, self.terms, now),
        ]
        return sorted(found, key=lambda each: (each.at, INPUTS.index(each.input)))

    def _codec(self, account: str) -> Carrier | None:
        return self.accounts.without_login(account) if account in self.accounts.codecs else None

    # --- calls --------------------------------------------------------------------------------------------------------

    def _calls(self, delivery: Delivery, calls: Sequence[RecordedCall]) -> Iterator[Finding]:
        """Yield a finding for each call. The record of an answered read has no reply, but its events have statuses."""
        for call in calls:
            if call.verdict is not Verdict.ANSWERED or call.operation not in REPEATED:
                yield self._call(delivery, call)

    def _call(self, delivery: Delivery, call: RecordedCall) -> Finding:
        subject = f"{call.operation} at {call.account}"
        then = f"{call.verdict.value}: {call.reason}" if call.reason else call.verdict.value
        codec, attempt = self._codec(call.account), delivery.attempt(call.attempt_id)
        why = _why_unreadable(call) or (NO_ACCOUNT if codec is None else None)
        if why or codec is None or attempt is None or (attempt.ref is None and call.operation == Operation.READ):
            return undecided(
                call.sent_at, Input.CALL, subject, then, why or "the order's id at the carrier is not known"
            )
        response = run_codec(call.account, partial(_read_again, codec, delivery, attempt, call), unreadable_reply)
        verdict = verdict_of(response)
        if verdict is not call.verdict and not _is_certain(call, attempt):
            why = "a hidden part of the reply, or the state of the attempt, may have decided"
            return undecided(call.sent_at, Input.CALL, subject, then, why)
        today = f"{verdict.value}: {response}" if isinstance(response, CarrierError) else verdict.value
        return Finding(call.sent_at, Input.CALL, subject, then, today, verdict is not call.verdict)

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def _callback(self, delivery: Delivery, stored: StoredCallback) -> Finding:
        """Read a callback again, for the state of its attempt when it was applied."""
        about = f" about its {stored.key.entity}" if stored.key.entity else ""
        finding = partial(Finding, stored.received_at, Input.CALLBACK, f"callback of {stored.carrier}{about}")
        codec, decision = self._codec(stored.carrier), stored.decision
        then = _worded(decision.meaning) if decision else stored.result or "not applied yet"
        if codec is None:
            return finding(then, None, note=NO_ACCOUNT)
        key = run_codec(stored.carrier, lambda: codec.callback_key(stored.callback), unreadable_reply)
        if isinstance(key, CarrierError):
            return finding(then, f"unreadable: {key}", stored.result == "applied")
        if _ordering(key) != _ordering(stored.key):
            return finding(f"{then}, {_ordering(stored.key)}", f"{_ordering(key)}", differs=True)
        attempt = delivery.attempt(decision.attempt_id) if decision else None
        if decision is None or attempt is None:
            return finding(then, None, note="it was not applied, or the state of its attempt is not stored")
        meaning = self._meaning(codec, delivery, attempt, stored, decision)
        if meaning != decision.meaning and attempt.sent_fingerprint != delivery.fingerprint:
            return finding(then, None, note=CHANGED_ORDER)
        return finding(then, _worded(meaning), meaning != decision.meaning)

    def _meaning(
        self, codec: Carrier, delivery: Delivery, attempt: Attempt, stored: StoredCallback, decision: CallbackDecision
    ) -> Meaning:
        view = decision.before(attempt_view(delivery, attempt))
        read = partial(codec.read_callback, stored.callback, view, stored.received_at)
        seen = run_codec(stored.carrier, read, unreadable_reply)
        if isinstance(seen, CarrierError):
            return ({"unreadable": str(seen)},)
        mapped = lifecycle.apply_mappings(seen, self.accounts.status_mappings(stored.carrier))
        return CallbackDecision.of(view, mapped).meaning

    # --- statuses of published events ---------------------------------------------------------------------------------

    def _statuses(self, delivery: Delivery, events: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
        surplus = {each.number for each in delivery.attempts if each.surplus}
        for event in events:
            data, kind = event["data"], event["type"]
            if data["raw"] is None or data["carrier"] is None:
                continue
            if kind == EventType.ATTEMPT_ENDED and data["attempt"] in surplus:
                continue  # it shows the status of the delivery, and not that of the surplus courier
            raw, at = Raw(data["raw"]["entity"], data["raw"]["code"]), datetime.fromisoformat(event["time"])
            subject = f"{raw.entity}:{raw.code} of {data['carrier']}"
            codec = self._codec(data["carrier"])
            decided = decide_status_again(kind, data, self._possible(codec, raw) if codec else frozenset())
            if decided and codec is None:
                yield undecided(at, Input.STATUS, subject, decided[0], NO_ACCOUNT)
            elif decided:
                yield Finding(at, Input.STATUS, subject, *decided)

    def _possible(self, codec: Carrier, raw: Raw) -> Possible:
        """Return the statuses that a carrier's status may get today, also by a mapping of an operator."""
        possible = codec.meanings(raw)
        mapped = self.accounts.status_mappings(codec.account.name).get(lifecycle.status_key(raw))
        if mapped is None or None not in possible:
            return possible
        # A mapping never ends a returning order as delivered.
        kept = possible if mapped is DeliveryStatus.DELIVERED else possible - {None}
        return kept | {mapped}


def _fell_back(delivery: Delivery, events: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the delivery moved to another carrier before its first create was last sent."""
    first = min((each.submitted_at for each in delivery.attempts), default=None)
    return any(
        event["data"]["detail"] == Detail.FALLBACK and (first is None or datetime.fromisoformat(event["time"]) <= first)
        for event in events
    )


def _why_unreadable(call: RecordedCall) -> str | None:
    """Return why the reply to a call cannot be read again; None if it can."""
    if call.status is None:
        return "no reply came"
    if call.reason == REUSED_ID:
        return "the reply was compared with the other orders of the account"
    if call.reply is None:
        return "the reply was not recorded, because it was about several orders"
    long = len(call.reply) >= LONGEST - 1 and not _is_json(call.reply)  # the end of a cut text may have been a space
    return CUT_OFF if long or SIZE.fullmatch(call.reply) else None


def _is_json(text: str) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def _is_certain(call: RecordedCall, attempt: Attempt) -> bool:
    """Return whether the reply and the arguments of its parser are those of then."""
    reply = call.reply or ""
    whole = not reply or (HIDDEN not in reply and _is_json(reply))
    repeated = call.operation == Operation.CREATE and attempt.resubmitted
    return whole and not repeated and call.operation not in STATE_DECIDES


def _read_again(codec: Carrier, delivery: Delivery, attempt: Attempt, call: RecordedCall) -> object:
    """Return what today's codec reads in a recorded reply. Raises CarrierError."""
    view, at = attempt_view(delivery, attempt), call.sent_at
    reply = Reply(call.status or 0, (call.reply or "").encode())
    match Operation(call.operation):
        case Operation.CREATE:
            return codec.read_booking(build_booking(delivery, attempt, None), reply, at)
        case Operation.CANCEL:
            return codec.read_cancel(reply, view)
        case Operation.CONFIRM:
            accept = attempt.offer_decision == OfferDecision.ACCEPT
            return codec.read_confirmation(reply, view, accept=accept, now=at)
        case Operation.AMEND if isinstance(codec, Amends):
            return codec.read_amended(view, reply, at)
    request = (codec.find if call.operation == Operation.FIND else codec.track)([view], at)
    return codec.read(request[0], reply, [view], at)


def _ordering(key: CallbackKey) -> str:
    """Return what identifies a callback's order, and the time by which it is ordered."""
    at = f" at {key.reported_at.isoformat()}" if key.reported_at else ""
    return f"about {key.entity or 'an order'} {key.ref or ''}{at}"


def _worded(meaning: Meaning) -> str:
    return "; ".join(" ".join(each.values()) for each in meaning) or "no status, it prompts a read"
