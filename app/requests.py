"""What a request says, read in one place: who calls, the body, preferences."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar.params import PathParameter

from app.accounts import Principal, Role
from app.problems import Forbidden, Unauthorized, UnsupportedMediaType
from app.unit import Caller
from events import parsing
from events.errors import FieldError, InvalidSettings
from events.patch import describe

if TYPE_CHECKING:
    from litestar import Request

    from app.main import Services

    AnyRequest = Request[Any, Any, Any]

_INTEGER = re.compile(r"-?[0-9]+")
_LONGEST_NUMBER = 4000  # beyond every id, so that a longer one is as missing as its beginning
_LONGEST_SEQUENCE = 18  # digits
MAX_BODY = 1024 * 1024


def services(request: AnyRequest) -> Services:
    """What this application is made of."""
    found: Services = request.app.state.services
    return found


def principal(request: AnyRequest, at_least: Role = Role.viewer) -> Principal:
    """Who calls; raises ``Unauthorized``, or ``Forbidden`` where the key's role does not reach."""
    who: Principal | None = request.scope.get("principal")  # type: ignore[assignment]  # app.auth
    if who is None:
        raise Unauthorized
    if who.role < at_least:
        raise Forbidden(needed=at_least.name, role=who.role.name)
    return who


def caller(request: AnyRequest, at_least: Role) -> Caller:
    """Who calls, as an event will name them."""
    who = principal(request, at_least)
    return Caller(
        organization_id=who.organization_id,
        actor=who.actor,
        request_id=request.scope["request_id"],  # type: ignore[typeddict-item]  # set by app.log
    )


Number = Annotated[
    str, PathParameter(schema_extra={"type": "integer", "minLength": None, "examples": [1]})
]


def number(text: str, name: str) -> int:
    """An id in a path, in its one notation; raises ``InvalidSettings`` for what is no integer."""
    if not _INTEGER.fullmatch(text):
        kind, message = describe("Expected `int`, got `str`")
        raise InvalidSettings((FieldError(loc=("path", name), msg=message, type=kind),))
    return int(text[:_LONGEST_NUMBER])


async def read_json(request: AnyRequest, *, optional: bool = False) -> Any:
    """The body as a JSON value; None for an absent one where it is ``optional``.

    Raises ``UnsupportedMediaType`` and ``MalformedJSON``.
    """
    body = await request.body()
    if not body and optional:
        return None
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise UnsupportedMediaType(accepted="application/json")
    return parsing.parse(body)


def pointer(path: str | None) -> str | None:
    """A JSON Pointer of the query, or the beginning of one; raises ``InvalidSettings``."""
    if not path or path.startswith("/"):
        return path
    raise invalid("path", "Input should be a JSON Pointer, which starts with '/'")


def moment(name: str, text: str | None) -> datetime | None:
    """A moment of the query, UTC where it names no zone; raises ``InvalidSettings``."""
    if text is None:
        return None
    try:
        found = msgspec.convert(text.replace(" ", "+"), datetime)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise invalid(name, "Input should be an RFC 3339 date and time") from None


def query_number(request: AnyRequest, name: str) -> int:
    """A number of the query whose name no argument can have; raises ``InvalidSettings``."""
    text = request.query_params.get(name)
    if text is None:
        raise _wrong(name, "Field required", "missing")
    if not _INTEGER.fullmatch(text) or len(text) > _LONGEST_SEQUENCE or text.startswith("-"):
        raise _wrong(name, *reversed(describe("Expected `int`, got `str`")))
    return int(text)


def invalid(name: str, message: str) -> InvalidSettings:
    """A query parameter that breaks a rule."""
    return _wrong(name, message, "value_error")


def _wrong(name: str, message: str, kind: str) -> InvalidSettings:
    return InvalidSettings((FieldError(loc=("query", name), msg=message, type=kind),))


def is_strict(request: AnyRequest) -> bool:
    """Whether the client prefers unknown members to be errors (RFC 7240)."""
    preferences = ",".join(request.headers.getall("prefer", []))
    return any(
        preference.replace(" ", "").replace('"', "").lower() == "handling=strict"
        for preference in preferences.replace(";", ",").split(",")
    )
