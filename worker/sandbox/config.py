"""Settings of a sandbox. Every setting has a default, even the credentials, which docs/sandbox.md lists."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

DOCUMENTED_BORZO_LIMITS = ((100, 60.0), (5000, 86400.0))
"""Borzo's documented request limits: the number of requests and the seconds in which they are counted (B-06)."""


def real_clock() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def steady(_created: datetime) -> float:
    """Return 1, so that each status of every order lasts equally long."""
    return 1.0


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Settings of one sandbox; durations are in seconds, time zones are IANA names."""

    step: float = 5.0
    """How long each status of a script lasts."""
    pace: Callable[[datetime], float] = steady
    """By how much `step` is multiplied for an order that is created at this time."""
    latency: float = 0.0
    """The delay before every reply."""
    seed: int = 1
    """The seed of the tokens, and of the faults that have a `chance`."""
    clocks_ahead: Mapping[str, float] = field(default_factory=dict)
    """How far the clocks of `cervo`, `borzo` and `deliverit` are ahead, or behind if negative."""

    cervo_token: str = "sandbox-cervo-token"  # noqa: S105 - documented, protects nothing
    cervo_id_location: tuple[str, ...] = ("query", "path", "header")
    """Where Cervo reads the order id from (C-30)."""
    cervo_refuses_repeats: bool = False
    cervo_timezone: str = "Asia/Riyadh"

    borzo_token: str = "sandbox-borzo-token"  # noqa: S105 - documented, protects nothing
    borzo_callback_secret: str = "sandbox-borzo-secret"  # noqa: S105 - documented, protects nothing
    borzo_callback_url: str | None = None
    borzo_timezone: str = "America/Sao_Paulo"
    borzo_limits: tuple[tuple[int, float], ...] = ()
    """Request limits in the shape of `DOCUMENTED_BORZO_LIMITS`; none by default."""

    deliverit_username: str = "sandbox@deliverit.example"
    deliverit_password: str = "sandbox-deliverit-password"  # noqa: S105 - documented, protects nothing
    deliverit_company: int = 14
    deliverit_timezone: str = "Europe/Copenhagen"
    deliverit_offer_limit: float = 300.0
    """How long after an offer its pickup time can be accepted."""

    ordering_api_key: str = "sandbox-ordering-key"
    ordering_automatic: bool = False
    """Whether the platform sets 18, 23 and 19 itself when the courier moves (`order_update_location_business`)."""

    clock: Callable[[], datetime] = real_clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
