"""What can be set about a sandbox. Every credential has a documented default, so that nothing need be set."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

DOCUMENTED_BORZO_LIMITS = ((100, 60.0), (5000, 86400.0))


def real_clock() -> datetime:
    """Return the present instant, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Settings of one sandbox; all durations are seconds, all zones IANA names."""

    step: float = 5.0
    latency: float = 0.0
    seed: int = 1

    cervo_token: str = "sandbox-cervo-token"  # noqa: S105 - documented, opens nothing
    cervo_id_location: tuple[str, ...] = ("query", "path", "header")
    cervo_refuses_repeats: bool = False
    cervo_timezone: str = "Asia/Riyadh"

    borzo_token: str = "sandbox-borzo-token"  # noqa: S105 - documented, opens nothing
    borzo_callback_secret: str = "sandbox-borzo-secret"  # noqa: S105 - documented, opens nothing
    borzo_callback_url: str | None = None
    borzo_timezone: str = "America/Sao_Paulo"
    borzo_limits: tuple[tuple[int, float], ...] = ()

    deliverit_username: str = "sandbox@deliverit.example"
    deliverit_password: str = "sandbox-deliverit-password"  # noqa: S105 - documented, opens nothing
    deliverit_company: int = 14
    deliverit_timezone: str = "Europe/Copenhagen"
    deliverit_offer_limit: float = 300.0

    ordering_api_key: str = "sandbox-ordering-key"
    ordering_automatic: bool = False
    """Whether the platform sets 18, 23 and 19 by itself when the courier moves (`order_update_location_business`)."""

    clock: Callable[[], datetime] = real_clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
