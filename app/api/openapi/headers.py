"""The headers that operations describe."""

from __future__ import annotations

from typing import Any

from litestar.openapi.spec import Example, OpenAPIHeader, Parameter, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType

from app.api.memento import HTTP_DATE


def _header(name: str, description: str, example: str, **rules: Any) -> Parameter:
    return Parameter(
        name=name,
        param_in="header",
        schema=Schema(type=OpenAPIType.STRING, **rules),
        description=description,
        examples={"example": Example(value=example)},
    )


def _answered(description: str, example: str) -> OpenAPIHeader:
    return OpenAPIHeader(
        schema=Schema(type=OpenAPIType.STRING),
        description=description,
        examples={"example": Example(value=example)},
    )


PREFER = _header(
    "Prefer",
    "`handling=strict`: unknown members, and secrets that are not copied, are errors. "
    "`handling=lenient`: they are left out, and so are masks in a creation; the answer's `ignored` "
    "names them. `return=minimal`: the answer is 204. `dry-run`: the answer is a plan, and nothing"
    " changes.",
    "handling=strict",
)
STRICT = _header(
    "Prefer",
    "`handling=strict`: unknown members, and numbers that other assistants answer, are errors.",
    "handling=strict",
)
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "The same request with the same key runs once, and gets the same answer again.",
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
    pattern=r'^(?:"[\x20-\x21\x23-\x7e]{1,255}"|[\x21\x23-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?)$',
)
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = rf"^(?:\*|{_TAG}(?: *, *{_TAG}){{0,99}})$"
IF_MATCH = _header(
    "If-Match",
    "The `ETag` of the state that the change is for. For an assistant, its bare version is accepted"
    ' too: `"7"`.',
    '"7-73300871f44c168e7c949de2c750e60c"',
    pattern=_TAGS,
)
IF_NONE_MATCH = _header(
    "If-None-Match",
    "304 where this is the current `ETag`. A bare version never matches.",
    '"7-73300871f44c168e7c949de2c750e60c"',
    pattern=_TAGS,
)
ACCEPT_DATETIME = _header(
    "Accept-Datetime",
    "The state at this moment (RFC 7089).",
    "Sun, 01 Mar 2026 09:00:00 GMT",
    pattern=HTTP_DATE,
)
# Of what is read as it was (RFC 7089).
MEMENTO = {
    "Memento-Datetime": "Of a past state: its moment.",
    "Content-Location": "Of a past state: its permanent address.",
    "Link": "Of a past state: `original` and `timegate`, and each `memento` that is `first`,"
    " `prev`, `next` or `last`.",
}
# Of 429.
RATE_LIMIT_FIELDS: dict[str, OpenAPIHeader | Reference] = {
    "Retry-After": _answered("Seconds until a request may be accepted.", "1"),
    "RateLimit-Policy": _answered(
        "The limit that was exceeded: how many (`q`) in how many seconds (`w`), or at a time"
        " (`qu`).",
        '"key";q=1000;w=1',
    ),
    "RateLimit": _answered(
        "How many are left of it (`a`) for how many seconds (`w`).", '"key";a=0;w=1'
    ),
}
WRITING = (IF_MATCH, PREFER, IDEMPOTENCY_KEY)
