"""Messages to people, through any service that apprise knows: Slack, Teams, mail, PagerDuty, a webhook and others.

apprise sends them itself, so they do not pass through the gateway. They contain no customer data.
"""

from typing import Any

from worker.errors import NotSentError


class Notifier:
    """A channel to people."""

    def __init__(self, url: str) -> None:
        """`url` is an address in apprise's notation. Raises ValueError if apprise does not know it."""
        self._channel = _channel(url)

    def send(self, title: str, body: str) -> None:
        """Send a message and wait until the service has accepted it. Raises NotSentError."""
        if not self._channel.notify(title=title, body=body):
            raise NotSentError("the service did not accept the message")


def _channel(url: str) -> Any:
    from apprise import Apprise  # noqa: PLC0415 - the import takes long, and most processes send no message

    channel = Apprise()
    if not channel.add(url):
        raise ValueError("is no address that apprise knows (https://appriseit.com)")
    return channel
