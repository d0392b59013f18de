"""Messages to people, through any service that apprise knows: Slack, Teams, mail, PagerDuty, a webhook and others.

apprise sends them itself, so they do not pass through the gateway. They contain no customer data.
"""

import threading
from typing import Any

from worker.errors import NotSentError
from worker.log import printable

SECONDS = 20.0
"""Seconds within which a service must accept a message."""
MAX_TITLE, MAX_BODY = 200, 2000
"""The most characters of a message, because it may contain a carrier's text, and services refuse long ones."""


class Notifier:
    """A channel to people."""

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        """`url` is an address in apprise's notation. Raises ValueError if apprise does not know it."""
        self._channel, self._seconds = _channel(url), seconds
        self._sending: threading.Thread | None = None

    def send(self, title: str, body: str) -> None:
        """Send a message and wait until the service has accepted it. Raises NotSentError.

        The message is sent in a thread of its own, because not every service of apprise has a time limit. While a
        message is still being sent, no other is sent.
        """
        if self._sending is not None and self._sending.is_alive():
            raise NotSentError("the service has not answered the last message")
        accepted: list[bool] = []
        self._sending = threading.Thread(target=lambda: accepted.append(self._notify(title, body)), daemon=True)
        self._sending.start()
        self._sending.join(self._seconds)
        if not any(accepted):
            raise NotSentError("the service did not accept the message")

    def _notify(self, title: str, body: str) -> bool:
        title, body = printable(title)[:MAX_TITLE], printable(body, "\n")[:MAX_BODY]
        return bool(self._channel.notify(title=title, body=body, body_format="text"))


def _channel(url: str) -> Any:
    from apprise import Apprise  # noqa: PLC0415 - the import takes long, and most processes send no message

    channel = Apprise()
    if not channel.add(url):
        raise ValueError("is no address that apprise knows (https://appriseit.com)")
    return channel
