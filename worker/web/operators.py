"""The operators' address: the desk, health and metrics. A proxy never forwards to it.

Health and metrics ask for no password, and contain no customer data.
"""

from collections.abc import Mapping
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from worker.container import Container
from worker.enqueue import queue_name
from worker.runtime import broker
from worker.web import desk
from worker.web.checks import Check, run_all
from worker.web.counters import Answers, CallCounts, OrderCounts
from worker.web.metrics import Metrics, Parts


def create_desk_app(container: Container, answers: Answers) -> Starlette:
    """Build the ASGI app of the operators' address; `answers` are those of the same process's public address."""
    checks: dict[str, Check[object]] = {
        "database": Check(container.database.ping),
        "bus": Check(container.bus.ping),
        "broker": Check(partial(broker.ping, container.app)),
    }
    metrics = Metrics(_parts(container), answers)
    return Starlette(
        routes=[
            Route("/livez", _livez),
            Route("/readyz", partial(_readyz, checks)),
            Route("/metrics", partial(_metrics, metrics)),
            *([Mount("/", desk.build(container))] if container.settings.has_desk else []),
        ]
    )


def _parts(container: Container) -> Parts:
    return Parts(
        container.database,
        container.bus,
        container.breaker,
        container.rate_limiter,
        container.queue,
        container.api_accounts,
        operations={name: codec.capabilities.operations for name, codec in container.codecs.items()},
        troubles=container.troubles,
        callback_accounts=container.callback_accounts,
        queues=tuple(map(queue_name, container.app.amqp.queues.values())),
        clock=container.clock,
        orders=OrderCounts(container.database),
        calls=CallCounts(container.database),
    )


async def _livez(_request: Request) -> Response:
    """Answer that the process runs."""
    return PlainTextResponse("ok")


async def _readyz(checks: Mapping[str, Check[object]], _request: Request) -> Response:
    """Answer whether the database, the bus and the broker respond; name the parts that do not respond."""
    outcomes = await run_in_threadpool(run_all, checks)
    broken = [name for name, outcome in outcomes.items() if isinstance(outcome, Exception)]
    return PlainTextResponse(f"not ready: {', '.join(broken)}", 503) if broken else PlainTextResponse("ok")


async def _metrics(metrics: Metrics, _request: Request) -> Response:
    """Answer in Prometheus's text format."""
    return Response(await run_in_threadpool(metrics.text), media_type=CONTENT_TYPE_LATEST)
