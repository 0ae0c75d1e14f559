"""A browser without rendering: it keeps cookies, and follows no redirects."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import httpx

from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Mapping

LONG = "Greet the caller, find out what they need, and book or move an appointment for them today."
_INPUT = re.compile(r"<input\b[^>]*>")
Fields = dict[str, Any]


class Browser:
    """A browser at the console of a server."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30, verify=NO_TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, address: str, **options: Any) -> httpx.Response:
        return self.client.get(address, **options)

    def post(
        self, address: str, fields: Fields, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a form with these fields alone."""
        sent = {"content-type": "application/x-www-form-urlencoded"} | dict(headers or {})
        return self.client.post(address, content=urlencode(fields, doseq=True), headers=sent)

    def submit(
        self, address: str, fields: Fields, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a form with the token of the session."""
        token = field(self.get("/").text, "form_token")
        return self.post(address, {"form_token": token} | fields, headers)

    def sign_in(self, key: str) -> httpx.Response:
        answer = self.post("/sign-in", {"key": key})
        assert answer.status_code == 303
        return answer


def field(page: str, name: str) -> str:
    """The value of a page's input."""
    for tag in _INPUT.findall(page):
        if f'name="{name}"' in tag:
            value = re.search(r'value="([^"]*)"', tag)
            return html.unescape(value[1]) if value else ""
    raise LookupError(name)


def row_of(page: str, path: str) -> str:
    """The part of an assistant's page that shows a setting."""
    return page.partition(f'data-row="{path}"')[2].partition("data-row=")[0]


def fill(path: str) -> str:
    """A path of the route table with 1 for each parameter."""
    return re.sub(r"\{\w+\}", "1", path)


def plain(answer: httpx.Response) -> str:
    """The words of a page, with the tags of insertions and deletions."""
    assert answer.status_code == 200
    text = re.sub(r"<(?!/?(?:ins|del)>)[^>]*>", "", answer.text)
    return " ".join(html.unescape(text).split())


def now(client: httpx.Client, at: str) -> dict[str, Any]:
    """The assistant of an address, as the API shows it."""
    assistant: dict[str, Any] = client.get(f"/api/v1{at}").json()
    return assistant


def change(client: httpx.Client, at: str, body: Fields, reason: str) -> None:
    """Change the assistant of an address through the API."""
    answer = client.patch(f"/api/v1{at}", json=body | {"change_description": reason})
    assert answer.is_success, answer.text
