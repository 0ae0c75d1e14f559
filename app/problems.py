"""Refusals and failures as answers. Status codes and their words stand here alone.

Every error body is an object with ``detail`` and the members of RFC 9457 beside it. For 422,
``detail`` is the list that FastAPI's clients know: ``[{loc, msg, type}]``.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from sqlalchemy.exc import SQLAlchemyError

from app.accounts import KeyNotFound
from app.writer import Busy, WriterStopped
from events.errors import (
    AssistantNotFound,
    FieldError,
    InvalidSettings,
    MalformedJSON,
    Refusal,
    VersionNotFound,
)
from events.patch import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from litestar import Request
    from litestar.types import ExceptionHandlersMap

_PROBLEM_JSON = "application/problem+json"
_RETRY_SECONDS = "1"
_log = structlog.get_logger(__name__)


class Unauthorized(Refusal):
    """No key, or one that is unknown or revoked."""


class Forbidden(Refusal):
    """The key is good, its role does not reach."""

    def __init__(self, *, needed: str, role: str) -> None:
        super().__init__(needed, role)
        self.needed = needed
        self.role = role


class UnsupportedMediaType(Refusal):
    """The body is not declared as what this endpoint reads."""

    def __init__(self, *, accepted: str) -> None:
        super().__init__(accepted)
        self.accepted = accepted


class PhoneNumberNotAssigned(Refusal):
    """No assistant of the organization answers this number."""

    def __init__(self, number: str) -> None:
        super().__init__(number)
        self.number = number


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as RFC 9457 describes it; ``detail`` is a sentence, or for 422 a list."""

    type: str
    title: str
    status: int
    detail: str | list[FieldError]


def problem(
    status: HTTPStatus,
    code: str,
    detail: str | Iterable[FieldError],
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """An error's answer."""
    body = Problem(
        type=f"urn:backstory:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail if isinstance(detail, str) else list(detail),
    )
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=_PROBLEM_JSON if isinstance(detail, str) else "application/json",
        headers=headers,
    )


def answer_refusal(refusal: Refusal) -> Response[bytes]:
    """The answer to each refusal of the domain and of this application."""
    match refusal:
        case AssistantNotFound(assistant_id=assistant_id):
            text = f"Assistant with ID {assistant_id} not found in your organization"
            return problem(HTTPStatus.NOT_FOUND, "assistant-not-found", text)
        case VersionNotFound(assistant_id=assistant_id, version=version):
            text = (
                f"Version {version} not found in the settings history of assistant {assistant_id}"
            )
            return problem(HTTPStatus.NOT_FOUND, "version-not-found", text)
        case KeyNotFound(key_id=key_id):
            text = f"API key with ID {key_id} not found in your organization"
            return problem(HTTPStatus.NOT_FOUND, "key-not-found", text)
        case PhoneNumberNotAssigned(number=number):
            text = f"Assistant assigned to phone number {number} not found in your organization"
            return problem(HTTPStatus.NOT_FOUND, "phone-number-not-assigned", text)
        case InvalidSettings(errors=errors):
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", errors)
        case MalformedJSON(rule=rule, position=position):
            error = FieldError(loc=("body", position), msg=rule, type="json_invalid")
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed-json", [error])
        case Unauthorized():
            text = "Authentication required. Provide a valid API key or login session."
            headers = {"www-authenticate": "Bearer"}
            return problem(HTTPStatus.UNAUTHORIZED, "unauthorized", text, headers)
        case Forbidden(needed=needed, role=role):
            text = f"This needs the role {needed}; the API key has the role {role}"
            return problem(HTTPStatus.FORBIDDEN, "forbidden", text)
        case UnsupportedMediaType(accepted=accepted):
            text = f"The body must be sent as {accepted}, in UTF-8"
            status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            return problem(status, "unsupported-media-type", text, {"accept": accepted})
        case _:
            raise refusal


def _on_refusal(_: Request[Any, Any, Any], refusal: Refusal) -> Response[bytes]:
    return answer_refusal(refusal)


def _on_parameters(_: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    said = error.extra if isinstance(error.extra, list) else []
    errors = [_parameter_error(item) for item in said if isinstance(item, dict)]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", errors)


def _parameter_error(item: dict[str, Any]) -> FieldError:
    kind, message = describe(str(item["message"]), _choices(str(item["message"])))
    return FieldError(loc=(item.get("source", "query"), item["key"]), msg=message, type=kind)


def _choices(_: str) -> tuple[Any, ...]:
    return ()


def _on_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = HTTPStatus(error.status_code)
    code = re.sub(r"[^a-z]+", "-", status.phrase.lower()).strip("-")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return problem(status, code, status.phrase, headers)


def _on_busy(_: Request[Any, Any, Any], __: Exception) -> Response[bytes]:
    return _unavailable("The database is busy; nothing was changed. Try again")


def _on_stopped(_: Request[Any, Any, Any], __: Exception) -> Response[bytes]:
    return _unavailable("The database did not confirm a write; writing has stopped")


def _on_database(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("database_failed", path=request.url.path, error=type(error).__name__)
    return _unavailable("The database could not answer; nothing was changed")


def _unavailable(text: str) -> Response[bytes]:
    headers = {"retry-after": _RETRY_SECONDS}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", text, headers)


def _on_failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("request_failed", path=request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal Server Error")


HANDLERS: ExceptionHandlersMap = {
    Refusal: _on_refusal,
    ValidationException: _on_parameters,
    HTTPException: _on_http,
    Busy: _on_busy,
    WriterStopped: _on_stopped,
    SQLAlchemyError: _on_database,
    Exception: _on_failure,
}
