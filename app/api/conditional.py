"""Conditional requests (RFC 9110, section 13): their headers, and the one answer of 304."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from litestar import Response

from app.api.media_types import JSON
from app.api.reply import Reply, StreamReply
from app.assistants.preconditions import Condition, Tags
from events.errors import FieldError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractContextManager

    from litestar.datastructures import Headers

# A list may have nothing between two commas (RFC 9110, section 5.6.1.2).
_TAG = re.compile(r'[\s,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,[\s,]*|$)')
_MOST_TAGS = 100


def etag(tag: str) -> str:
    """A tag as the header ``ETag`` has it: a strong validator."""
    return f'"{tag}"'


def respond(
    body: bytes, tag: str, condition: Condition, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """JSON with its tag; 304 to a reader who has it."""
    fields = {"etag": etag(tag)} | dict(headers or {})
    if condition.has(tag):
        return Reply(b"", status_code=304, headers=fields)
    return Reply(body, status_code=200, media_type=JSON, headers=fields)


def respond_with_stream(
    chunks: AsyncIterator[bytes],
    tag: str,
    condition: Condition,
    headers: Mapping[str, str] | None,
    context: Callable[[], AbstractContextManager[None]],
) -> Response[bytes]:
    """As ``respond``, with JSON that is made while it is sent, within a context if it is sent."""
    if condition.has(tag):
        return respond(b"", tag, condition, headers)
    return StreamReply(chunks, {"etag": etag(tag)} | dict(headers or {}), context())


def is_held(if_none_match: bytes, tag: bytes) -> bool:
    """For layers before the routes: whether ``If-None-Match`` has a tag, quotes included."""
    return tag in if_none_match


def read_condition(headers: Headers) -> Condition:
    """The conditions of a request; raises ``InvalidSettings`` for what is no list of tags."""
    return Condition(
        if_match=_tags(headers, "If-Match"), if_none_match=_tags(headers, "If-None-Match")
    )


def _tags(headers: Headers, name: str) -> Tags | None:
    lines = headers.getall(name.lower(), [])
    text = ",".join(line for line in lines if line.strip())
    if not lines:
        return None
    if text.strip() == "*":
        return Tags(any=True)
    strong: list[str] = []
    weak: list[str] = []
    at = 0
    while at < len(text):
        tag = _TAG.match(text, at)
        if tag is None or len(strong) + len(weak) == _MOST_TAGS:
            raise _invalid(name)
        (weak if tag[1] else strong).append(tag[2])
        at = tag.end()
    if not strong and not weak:
        raise _invalid(name)
    return Tags(strong=tuple(strong), weak=tuple(weak))


def _invalid(name: str) -> InvalidSettings:
    message = 'Input should be entity tags, such as "7", or *'
    return InvalidSettings((FieldError(loc=("header", name), msg=message, type="entity_tag"),))
