"""The login page."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker import log
from worker.web.desk.access import Form, Users, local_path
from worker.web.desk.pages import Pages

logger = log.get(__name__)


@dataclass(frozen=True)
class Login:
    """Begin and end sessions."""

    users: Users
    pages: Pages

    def show(self, request: Request) -> Response:
        """Show the login page."""
        return self._page(request, request.query_params.get("next"))

    def log_in(self, request: Request, form: Form) -> Response:
        """Begin a session, and go to the page that was asked for."""
        name, password = form.get("name", "").strip().lower(), form.get("password", "")
        if not self.users.check(name, password):
            logger.warning("desk.login_failed")  # the name is left out: it may be a password in the wrong field
            return self._page(request, form.get("next"), "The name or the password is wrong.", 403)
        self.users.log_in(request.session, name)
        logger.info("desk.logged_in", user=name)
        return RedirectResponse(local_path(form.get("next")), 303)

    def log_out(self, request: Request, _form: Form) -> Response:
        """End the session."""
        logger.info("desk.logged_out", user=request.session.get("user"))
        request.session.clear()
        return RedirectResponse("/login", 303)

    def _page(self, request: Request, following: str | None, error: str | None = None, status: int = 200) -> Response:
        values = {"next": local_path(following), "error": error, "has_users": bool(self.users.hashes)}
        return self.pages.render_plain(request, "login.html", status, **values)
