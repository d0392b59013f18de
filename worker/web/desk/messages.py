"""The pages of the messages: the newest ones, orders to fetch, and those that could not be read.

The text of a message may have a customer's data. It is shown only when asked for, and the asking is recorded.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from schemas.json_reader import MalformedError
from worker.bus.port import OUTAGES, Entry, time_of
from worker.container import Container
from worker.database import inbox
from worker.database.inbox import DeadLetter
from worker.domain.operator import Operator
from worker.web.desk.access import Form, new_form_token, sent_form_token
from worker.web.desk.pages import NOTICE, Pages, storable

NO_LETTER = "This message is not waiting: it was replayed or discarded."
MAX_LETTER = 1_000_000
"""The longest form with a corrected message, in bytes."""
LETTERS_LISTED, FETCHES_LISTED, NEWEST_LISTED = 200, 50, 20


@dataclass(frozen=True)
class NewMessage:
    """A message on the stream of orders, without the customer's data."""

    at: datetime | None
    type: str
    order_id: str
    source: str
    fault: str = ""
    """Why it cannot be read; empty if it can."""


@dataclass(frozen=True)
class MessagePages:
    """Show the messages, and replay those that an operator corrects."""

    services: Container
    pages: Pages

    def show(self, request: Request) -> Response:
        """Show the messages that could not be read, the orders to fetch, and the newest messages."""
        read = self.services.database.read
        return self.pages.render(
            request,
            "messages.html",
            letters=read(inbox.dead_letters, LETTERS_LISTED),
            fetches=read(inbox.waiting_fetches, FETCHES_LISTED),
            newest=self._newest(),
            bus=self.services.bus.server,
        )

    def _newest(self) -> Sequence[NewMessage] | None:
        """Return the newest messages on the bus; None while the bus is unreachable."""
        with suppress(*OUTAGES):
            return [self._described(each) for each in self.services.bus.newest_orders(NEWEST_LISTED)]
        return None

    def _described(self, entry: Entry) -> NewMessage:
        found, letters = self.services.ingest.parse([(entry.id, entry.fields or entry.document)])
        at = time_of(entry.id)
        if letters:
            return NewMessage(at, "", "", "", letters[0].reason)
        (message,) = found
        return NewMessage(at, message.type, message.data.order_id, message.source)

    # --- one message that could not be read ---------------------------------------------------------------------------

    def letter(self, request: Request) -> Response:
        """Show why a message could not be read, without its text."""
        found = self.services.database.read(inbox.dead_letter, _id_of(request))
        return self._page(request, _known(found))

    def text(self, request: Request, _form: Form) -> Response:
        """Show the text of a message, which can be corrected, and record that it was shown."""
        letter = _known(self.services.operations.show_letter(_id_of(request), Operator(request.scope["user"])))
        text = letter.raw.decode("utf-8", "backslashreplace")
        return self._page(request, letter, text.replace("\r\n", "\n").replace("\r", "\n"))

    def correct(self, request: Request, form: Form) -> Response:
        """Replay a message with the text of the form; show the text again with its fault if it cannot be read."""
        letter = _known(self.services.database.read(inbox.dead_letter, _id_of(request)))
        text, by = form.get("text", ""), Operator(request.scope["user"], form.get("reason", "").strip())
        fault = self._replay(letter, text, by, sent_form_token(form)) if by.reason else "Write your reason."
        if fault is not None:
            return self._page(request, letter, text, fault, form.get("reason", ""), status=422)
        self.pages.snapshot.forget()
        request.session[NOTICE] = "Done: the corrected message was replayed. The original is kept."
        return RedirectResponse("/messages", 303)

    def _replay(self, letter: DeadLetter, text: str, by: Operator, token: str) -> str | None:
        """Replay a message once; return why it was not replayed."""
        if (error := self.services.operations.claim_form(token)) is not None:
            return error
        try:
            entry = self.services.operations.correct(letter.identity, text, by)
        except MalformedError as error:
            return f"The corrected message cannot be read: {error}"
        except OUTAGES:
            return f"{self.services.bus.server} does not answer. Try again in a moment."
        return None if entry else NO_LETTER

    def _page(
        self,
        request: Request,
        letter: DeadLetter,
        text: str | None = None,
        fault: str | None = None,
        reason: str = "",
        status: int = 200,
    ) -> Response:
        values = {"letter": letter, "text": text, "fault": fault, "reason": reason, "once": new_form_token()}
        return self.pages.render(request, "message.html", status, **values)


def _id_of(request: Request) -> str:
    return storable(request.path_params["id"])


def _known(letter: DeadLetter | None) -> DeadLetter:
    if letter is None:
        raise HTTPException(404, NO_LETTER)
    return letter
