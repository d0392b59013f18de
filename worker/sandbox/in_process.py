"""Call the ASGI apps of this process without a network."""

from collections.abc import Mapping

import httpx
from starlette.types import ASGIApp

NO_APPS: Mapping[str, ASGIApp] = {}


class InProcess(httpx.AsyncBaseTransport):
    """Calls the app that has the host of a request."""

    def __init__(self, apps: Mapping[str, ASGIApp] = NO_APPS) -> None:
        """`apps` are the apps by host. Any other host cannot be reached."""
        self._transports = {host: httpx.ASGITransport(app) for host, app in apps.items()}

    def add(self, host: str, app: ASGIApp) -> None:
        """Let calls reach one more app."""
        self._transports[host] = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the reply of an app. Raises httpx.ConnectError for a host without an app."""
        found = self._transports.get(request.url.host)
        if found is None:
            raise httpx.ConnectError("no such host", request=request)
        return await found.handle_async_request(request)
