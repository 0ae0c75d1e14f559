"""Every exception as an answer: domain errors, parameters, HTTP, and failures of the database."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from sqlalchemy.exc import SQLAlchemyError

from app.api import access, methods
from app.api.problems import RETRY_SECONDS, answer_error, problem, rate_limit_fields
from app.storage.database import Busy, ReadFailed, ReadTooLong
from app.storage.disk_state import DiskFull, WritingSuspended
from app.storage.turns import TooManyReads
from app.transactions.write_queue import OutcomeUnknown, WriterStopped
from app.vault.keys import MasterKeyError
from app.vault.sealing import SecretUnreadable
from events.bodies.validation import describe
from events.errors import DomainError, FieldError

if TYPE_CHECKING:
    from litestar import Request
    from litestar.types import ExceptionHandlersMap


_log = structlog.get_logger(__name__)
# Parameters that make a long read shorter.
_NARROWING = (
    "assistant_id",
    "assistant_ids",
    "start_date",
    "end_date",
    "since",
    "until",
    "days",
    "changed_by",
    "limit",
)


def _on_domain_error(_: Request[Any, Any, Any], error: DomainError) -> Response[bytes]:
    return answer_error(error)


def _on_parameters(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    items = error.extra if isinstance(error.extra, list) else []
    errors = [_parameter_error(request, item) for item in items if isinstance(item, dict)]
    if missing := re.match(r"Missing required (\w+) parameter '(\w+)'", error.detail):
        errors.append(FieldError(loc=missing.groups(), msg="Field required", type="missing"))
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", errors)


def _parameter_error(request: Request[Any, Any, Any], item: dict[str, Any]) -> FieldError:
    parameter = request.route_handler.parsed_fn_signature.parameters.get(item["key"])
    kind, message = describe(str(item["message"]), parameter and parameter.annotation)
    return FieldError(loc=(item.get("source", "query"), item["key"]), msg=message, type=kind)


def _on_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = HTTPStatus(error.status_code)
    code = re.sub(r"[^a-z]+", "-", status.phrase.lower()).strip("-")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if (allowed := headers.get("allow")) is not None:
        headers["allow"] = methods.allow(allowed.split(", "))
    return problem(status, code, status.phrase, headers)


def _on_busy(_: Request[Any, Any, Any], __: Exception) -> Response[bytes]:
    return _unavailable("The database is busy; nothing was changed. Try again")


def _on_suspended(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    code = "disk-full" if isinstance(error, DiskFull) else "writing-suspended"
    return _unavailable(f"Nothing was changed. {error}", code)


def _on_too_many_reads(_: Request[Any, Any, Any], error: TooManyReads) -> Response[bytes]:
    text = "Too many reads of your organization wait already; nothing was read. Try again"
    headers = {"retry-after": RETRY_SECONDS, **rate_limit_fields("waiting-reads", error.most)}
    return problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-reads", text, headers)


def _on_read_too_long(request: Request[Any, Any, Any], error: ReadTooLong) -> Response[bytes]:
    route = request.scope["path_template"]
    _log.warning(
        "read_too_long",
        route=f"{request.method} {route}",
        organization_id=access.principal(request.scope).organization_id,
        seconds=error.seconds,
    )
    known = request.route_handler.parsed_fn_signature.parameters
    names = [name for name in _NARROWING if name in known]
    advice = f"Narrow it with {', '.join(names)}" if names else "Ask for less"
    text = f"The read of {route} took longer than {error.seconds:g} s and was stopped. {advice}"
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "read-too-long", text)


def _on_stopped(_: Request[Any, Any, Any], __: Exception) -> Response[bytes]:
    text = (
        "The database did not confirm a write, which may or may not be there; writing has stopped"
    )
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "writing-stopped", text)


def _on_unknown(_: Request[Any, Any, Any], __: Exception) -> Response[bytes]:
    text = (
        "The database did not confirm the commit: the change may or may not be there. Repeat the"
        " request with its Idempotency-Key, or read before you do"
    )
    return _unavailable(text, "outcome-unknown")


def _on_database(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("database_failed", path=request.scope["path"], error=str(error))
    return _unavailable("The database could not answer; nothing was changed")


def _unavailable(text: str, code: str = "unavailable") -> Response[bytes]:
    headers = {"retry-after": RETRY_SECONDS}
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, code, text, headers)


def _on_unreadable(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.critical("secret_unreadable", error=str(error))
    text = "A sealed secret does not open where it stands; it was moved or changed in the database"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "secret-unreadable", text)


def _on_master_key(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.critical("master_key_too_old", error=str(error), advice="restart with the newer one, too")
    return _unavailable("The server's master key is not the one in use; nothing was changed")


def _on_failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("request_failed", path=request.scope["path"], exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal Server Error")


HANDLERS: ExceptionHandlersMap = {
    DomainError: _on_domain_error,
    ValidationException: _on_parameters,
    HTTPException: _on_http,
    Busy: _on_busy,
    TooManyReads: _on_too_many_reads,
    ReadTooLong: _on_read_too_long,
    SecretUnreadable: _on_unreadable,
    MasterKeyError: _on_master_key,
    WritingSuspended: _on_suspended,
    WriterStopped: _on_stopped,
    OutcomeUnknown: _on_unknown,
    SQLAlchemyError: _on_database,
    ReadFailed: _on_database,
    Exception: _on_failure,
}
