"""The threads in which the desk answers. They are its own, so slow pages leave the threads of the callbacks free."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

THREADS = 6
"""The most threads that answer the desk's requests. Each may use a connection to the database."""
P = ParamSpec("P")
T = TypeVar("T")
View = Callable[[Request], Response]


@dataclass(frozen=True)
class Threads:
    """Run functions in the desk's threads. Requests wait while all of them are busy."""

    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))

    async def run(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Return the result of a function."""
        return await to_thread.run_sync(lambda: function(*arguments, **named), limiter=self.limiter)

    def view(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a page."""

        async def endpoint(request: Request) -> Response:
            return await self.run(view, request)

        return endpoint
