"""A browser without scripts: it follows redirects, keeps cookies, and reads and sends forms as a person would."""

import asyncio
from html.parser import HTMLParser
from typing import Any

import httpx
from starlette.types import ASGIApp

BLOCKS = frozenset({"p", "li", "tr", "h1", "h2", "dt", "article", "label", "option", "div"})


class Page(HTMLParser):
    """One answer: its text, its links, and the fields of its forms."""

    def __init__(self, reply: httpx.Response) -> None:
        super().__init__()
        self.reply, self.status, self.path = reply, reply.status_code, reply.url.raw_path.decode()
        self.links: dict[str, str] = {}
        self.addresses: list[str] = []
        """The addresses of all links, also of those with the same text."""
        self.forms: dict[str, dict[str, list[str]]] = {}
        self.tags: list[str] = []
        self._words: list[str] = []
        self._form: dict[str, list[str]] = {}
        self._link: tuple[str, list[str]] | None = None
        self._in_main = self._in_text = False
        self.text = ""
        """The content of the text area."""
        self.feed(reply.text)

    @property
    def lines(self) -> list[str]:
        """The lines of the main part's text."""
        return [line for each in "".join(self._words).split("\n") if (line := " ".join(each.split()))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "main":
            self._in_main = True
        self._in_text = tag == "textarea"
        if tag in BLOCKS:
            self._words.append("\n")
        if tag in {"td", "th", "dd", "span", "a", "code"}:
            self._words.append(" ")
        if tag == "form":
            self._form = self.forms.setdefault(given.get("action", self.path), {})
        if tag == "input" and given.get("type") == "hidden":
            self._form.setdefault(given["name"], []).append(given.get("value", ""))
        if tag == "a":
            self._link = (given.get("href", ""), [])
            self.addresses.append(given.get("href", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._in_text, self.text = False, self.text.removeprefix("\n")
        if tag == "a" and self._link is not None:
            address, words = self._link
            self.links[" ".join("".join(words).split())] = address
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._in_text:
            self.text += data
            return
        if self._in_main:
            self._words.append(data.replace("\n", " "))
        if self._link is not None:
            self._link[1].append(data)


class Browser:
    """The browser of one operator."""

    def __init__(self, app: ASGIApp, base_url: str = "http://127.0.0.1:8001") -> None:
        self._loop = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url, follow_redirects=True)

    def close(self) -> None:
        self._loop.run(self._client.aclose())
        self._loop.close()

    def get(self, path: str, **headers: str) -> Page:
        return Page(self._loop.run(self._client.get(path, headers=headers)))

    def post(self, path: str, **fields: Any) -> Page:
        """Send fields without having read a form."""
        return Page(self._loop.run(self._client.post(path, data=fields)))

    def send(self, page: Page, action: str | None = None, **fields: str) -> Page:
        """Fill in a form of a page and send it."""
        address = action or page.path
        return self.post(address, **{**page.forms[address], **fields})

    def log_in(self, name: str = "maria", **fields: str) -> Page:
        return self.send(self.get("/login"), "/login", name=name, **fields)
