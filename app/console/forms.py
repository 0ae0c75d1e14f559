"""Forms: reading one, checking that a page of this session sent it, and its fields."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from app.console import cookies
from app.console.line_ends import as_typed
from app.console.visitor import PageRequest, Visitor
from events.errors import FieldError, InvalidSettings

Form = dict[str, list[str]]

MAX_FIELDS = 2000
_TOKEN = "form_token"  # noqa: S105  # a field's name
_IDEMPOTENCY_KEY = "once"
_LONG = 64 * 1024  # bytes


async def submitted(request: PageRequest) -> tuple[Visitor, Form]:
    """The visitor and the form that they sent; raises ``CrossSite`` and ``InvalidSettings``."""
    visitor = request.visitor
    form = await read_form(request)
    cookies.check_token(visitor.token, first(form, _TOKEN))
    return visitor, form


async def read_form(request: PageRequest) -> Form:
    """The fields of a form of this site; raises ``CrossSite`` and ``InvalidSettings``.

    Enough for signing in alone: every other form needs the session's token, see ``submitted``.
    """
    cookies.check_origin(request)
    body = await request.body()
    if len(body) > _LONG:  # in a thread, while the loop serves others
        return await asyncio.to_thread(decode, body)
    return decode(body)


def decode(body: bytes) -> Form:
    """The fields of a form as browsers encode it; raises ``InvalidSettings``."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        message = "Input should be a form of this page, in UTF-8"
        error = FieldError(loc=("body",), msg=message, type="form")
        raise InvalidSettings((error,)) from None
    form: Form = {}
    for name, value in pairs:
        form.setdefault(name, []).append(as_typed(value))
    return form


def first(form: Form, name: str) -> str:
    """The first value of a field; '' where there is none."""
    return form.get(name, [""])[0]


def idempotency(form: Form) -> dict[str, str]:
    """The ``Idempotency-Key`` header of a form, which applies it once."""
    key = first(form, _IDEMPOTENCY_KEY)
    return {"idempotency-key": key} if key.isascii() and key.isprintable() and key else {}
