"""Requests for versions and labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from tests.app.assistants.answers import ok

if TYPE_CHECKING:
    from collections.abc import Iterator


NEXT = re.compile(r'<([^>]+)>; rel="next"')


def versions(client: httpx.Client, place: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(client.get(f"{place}/versions", params=query))
    return found


def pages(client: httpx.Client, url: str, **query: Any) -> Iterator[list[Any]]:
    """The pages of a list, following ``Link`` to the end."""
    following = str(httpx.URL(url, params=query))
    while following:
        answer = client.get(following)
        yield ok(answer)
        link = NEXT.fullmatch(answer.headers.get("link", ""))
        following = link[1] if link else ""


def label(client: httpx.Client, place: str, version: int | str, name: Any) -> httpx.Response:
    return client.put(f"{place}/versions/{version}/label", json={"label": name})


def diff(client: httpx.Client, place: str, older: Any, newer: Any, **query: Any) -> Any:
    return ok(client.get(f"{place}/diff", params={"from": older, "to": newer} | query))


def blame(client: httpx.Client, place: str, **query: Any) -> Any:
    return ok(client.get(f"{place}/blame", params=query))
