"""Domain errors as answers. Their status codes and messages are here alone.

Every error body is an object with ``detail`` and the members of RFC 9457 beside it. For 422,
``detail`` is the list that FastAPI's clients know: ``[{loc, msg, type}]``.
"""

from __future__ import annotations

from functools import singledispatch
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response

from app.accounts import concurrency, login_limit, rate_limits
from app.accounts.api_keys import KeyNotFound
from app.api.conditional import etag
from app.api.errors import (
    CredentialsRepeated,
    Forbidden,
    HeaderUnreadable,
    PhoneNumberNotAssigned,
    ScopeMissing,
    Unauthorized,
    UnsupportedMediaType,
)
from app.api.media_types import JSON, PROBLEM
from app.assistants.change_sets import ChangeSetNotFound, RefusedFor
from app.assistants.preconditions import StaleTag
from app.assistants.requests import (
    ChangesConflict,
    LabelTaken,
    NotUndoable,
    PreconditionFailed,
    PreconditionRequired,
)
from app.assistants.secrets import MOST_ROTATED, TooManySecrets
from app.audit.bounds import BeyondLog
from app.calls.receipts import CallNotFound
from app.calls.resolving import CallHasAnother, DigestDiffers, InFuture
from app.limits import LimitExceeded
from app.metrics import catalog
from app.transactions.idempotency import IdempotencyKeyReused, RequestRunning, TooManyKeys
from app.transactions.waiting_work import TooManyWaiting
from events.bodies.json_patch import PatchTestFailed
from events.errors import (
    AssistantNotFound,
    DomainError,
    FieldError,
    InvalidSettings,
    MalformedJSON,
    NoSecret,
    NotDeleted,
    SecretsGone,
    VersionNotFound,
)
from events.policy import PathProtected, ReasonRequired

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from litestar import Litestar, Request
    from litestar.response.base import ASGIResponse


RETRY_SECONDS = "1"
_LIMITED = {
    rate_limits.KEY: "Requests of an API key",
    rate_limits.ORGANIZATION: "Requests of all keys of an organization together",
    login_limit.POLICY: "Requests from one address with an unknown or revoked key",
    concurrency.EXPORTS: "Exports of an organization",
    concurrency.KEY_STREAMS: "Streams of an API key",
    concurrency.ORGANIZATION_STREAMS: "Streams of all keys of an organization together",
}
_UNITS = {1: "a second", 60: "a minute", None: "at a time"}
_LONGEST_NAME = 100
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as RFC 9457 describes it; ``detail`` is a sentence, or for 422 a list."""

    type: str
    title: str
    status: int
    detail: str | list[FieldError]


class ProblemResponse(Response[bytes]):
    """The answer of an error, which is counted when it is sent to who asked for a change."""

    def __init__(self, code: str, body: bytes, **options: Any) -> None:
        super().__init__(body, **options)
        self._code = code

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """What sends it."""
        if request.method not in _SAFE_METHODS:
            catalog.REFUSED_CHANGES.add(self._code)
        return super().to_asgi_response(app, request, **options)


def problem(
    status: HTTPStatus,
    code: str,
    detail: str | Iterable[FieldError],
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response[bytes]:
    """The answer of an error; ``members`` are added to its body."""
    shown = Problem(
        type=f"urn:backstory:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail if isinstance(detail, str) else list(detail),
    )
    return ProblemResponse(
        code,
        msgspec.json.encode(msgspec.structs.asdict(shown) | members),
        status_code=status,
        media_type=PROBLEM if isinstance(detail, str) else JSON,
        headers=headers,
    )


@singledispatch
def answer_error(error: DomainError) -> Response[bytes]:
    """The answer of a domain error; each class has its function below."""
    raise error


@answer_error.register
def _(error: AssistantNotFound) -> Response[bytes]:
    text = f"Assistant with ID {error.assistant_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "assistant-not-found", text)


@answer_error.register
def _(error: VersionNotFound) -> Response[bytes]:
    history = f"the settings history of assistant {error.assistant_id}"
    text = f"Version {str(error.version)[:_LONGEST_NAME]} not found in {history}"
    return problem(HTTPStatus.NOT_FOUND, "version-not-found", text)


@answer_error.register
def _(error: NotDeleted) -> Response[bytes]:
    text = f"Assistant with ID {error.assistant_id} is not deleted: there is nothing to restore"
    return problem(HTTPStatus.CONFLICT, "not-deleted", text)


@answer_error.register
def _(error: PreconditionFailed) -> Response[bytes]:
    now = error.version
    text = (
        f"If-Match is not the tag of this assistant as it is now (version {now})."
        f' Send the ETag of a current read, or "{now}".'
        if error.is_unknown
        else f"The assistant is now at version {now}; nothing was changed"
    )
    return problem(
        HTTPStatus.PRECONDITION_FAILED,
        "precondition-failed",
        text,
        {"etag": etag(error.tag)},
        version=error.version,
        changed_since=error.changes,
    )


@answer_error.register
def _(error: StaleTag) -> Response[bytes]:
    text = "It is not as it was when it was read or planned; nothing was changed"
    headers = {"etag": etag(error.tag)}
    return problem(HTTPStatus.PRECONDITION_FAILED, "precondition-failed", text, headers)


@answer_error.register
def _(error: PreconditionRequired) -> Response[bytes]:
    text = "The organization's policy wants If-Match or base_version on every change"
    status = HTTPStatus.PRECONDITION_REQUIRED
    return problem(status, "precondition-required", text, rule=error.rule)


@answer_error.register
def _(error: ChangesConflict) -> Response[bytes]:
    text = (
        f"{error.count} of the paths were changed by others since; nothing was changed."
        " Read 'conflicts', or choose a side with on_conflict"
    )
    return problem(
        HTTPStatus.CONFLICT,
        "conflict",
        text,
        {"etag": etag(error.tag)},
        version=error.version,
        conflicts=error.conflicts,
    )


@answer_error.register
def _(error: PatchTestFailed) -> Response[bytes]:
    text = f"Operation {error.position} tests {error.path}, which holds another value"
    return problem(HTTPStatus.CONFLICT, "test-failed", text, position=error.position)


@answer_error.register
def _(error: NotUndoable) -> Response[bytes]:
    rule = f"Version {error.version} is {error.kind}: only changes of settings are undone"
    field = FieldError(loc=("body", "version"), msg=rule, type="not_undoable")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not-undoable", [field])


@answer_error.register
def _(error: LabelTaken) -> Response[bytes]:
    text = f"Version {error.version} has the label {error.label!r}; take it from there first"
    return problem(HTTPStatus.CONFLICT, "label-taken", text, version=error.version)


@answer_error.register
def _(error: PathProtected) -> Response[bytes]:
    text = f"Only admins may change {', '.join(error.paths)}"
    status = HTTPStatus.FORBIDDEN
    return problem(status, "path-protected", text, rule=error.rule, paths=error.paths)


@answer_error.register
def _(error: ReasonRequired) -> Response[bytes]:
    at = f" of {', '.join(error.paths)}" if error.paths else ""
    rule = f"The organization's policy wants a reason for every change{at}"
    field = FieldError(loc=error.loc, msg=rule, type=error.rule)
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(status, "reason-required", [field], rule=error.rule, paths=error.paths)


@answer_error.register
def _(_: IdempotencyKeyReused) -> Response[bytes]:
    rule = "This key was used for another request; a new request needs a new key"
    field = FieldError(loc=("header", "Idempotency-Key"), msg=rule, type="idempotency_key_reused")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", [field])


@answer_error.register
def _(_: RequestRunning) -> Response[bytes]:
    text = "The request with this key is being carried out; ask again for its answer"
    headers = {"retry-after": RETRY_SECONDS}
    return problem(HTTPStatus.CONFLICT, "request-running", text, headers)


@answer_error.register
def _(error: TooManyWaiting) -> Response[bytes]:
    whose = "The organization's writes that wait" if error.is_own else "The writes that wait"
    limit = f"{error.limit.count}, or {error.limit.size // 2**20} MiB of bodies"
    text = f"{whose} have reached the limit, {limit}; this one was not begun. Try again"
    headers = {"retry-after": RETRY_SECONDS}
    if not error.is_own:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-writes", text, headers)
    headers |= rate_limit_fields("waiting-writes", error.limit.count)
    return problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-writes", text, headers)


@answer_error.register
def _(error: TooManyKeys) -> Response[bytes]:
    text = (
        f"Your organization may have {error.most} idempotency keys in use, with answers of"
        f" {error.most} KiB, and has that many. There is room again in {error.wait} s at the"
        " latest; nothing was changed"
    )
    headers = {"retry-after": str(error.wait)}
    headers |= rate_limit_fields("idempotency-keys", error.most, error.lifetime, error.wait)
    return problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-idempotency-keys", text, headers)


@answer_error.register
def _(error: ChangeSetNotFound) -> Response[bytes]:
    text = f"Change set with ID {error.change_set_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "change-set-not-found", text)


@answer_error.register
def _(error: RefusedFor) -> Response[bytes]:
    """The error of one assistant, which stops the whole set."""
    response = answer_error(error.refusal)
    body = msgspec.json.decode(response.content) | {"assistant_id": error.assistant_id}
    response.content = msgspec.json.encode(body)
    return response


@answer_error.register
def _(error: CallNotFound) -> Response[bytes]:
    text = f"Call {error.call_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "call-not-found", text)


@answer_error.register
def _(error: CallHasAnother) -> Response[bytes]:
    receipt = error.receipt
    text = (
        f"The call has a receipt of assistant {receipt.assistant_id}, version {receipt.version};"
        " a call runs one version of one assistant"
    )
    return problem(
        HTTPStatus.CONFLICT,
        "call-has-another",
        text,
        assistant_id=receipt.assistant_id,
        version=receipt.version,
    )


@answer_error.register
def _(error: DigestDiffers) -> Response[bytes]:
    text = (
        f"Version {error.version} of assistant {error.assistant_id} has the digest {error.digest},"
        " not that of 'ran'; nothing was recorded"
    )
    status = HTTPStatus.CONFLICT
    return problem(status, "digest-differs", text, version=error.version, digest=error.digest)


@answer_error.register
def _(_: InFuture) -> Response[bytes]:
    field = FieldError(loc=("body", "at"), msg="Input should be in the past", type="in_future")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "in-future", [field])


@answer_error.register
def _(error: KeyNotFound) -> Response[bytes]:
    text = f"API key with ID {error.key_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "key-not-found", text)


@answer_error.register
def _(error: PhoneNumberNotAssigned) -> Response[bytes]:
    text = f"Assistant assigned to phone number {error.number} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "phone-number-not-assigned", text)


@answer_error.register
def _(error: InvalidSettings) -> Response[bytes]:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", error.errors)


@answer_error.register
def _(error: BeyondLog) -> Response[bytes]:
    rule = f"Input should be from {error.least} to {error.most}: the log has no other"
    field = FieldError(loc=("query", error.name), msg=rule, type="beyond_log")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "beyond-log", [field])


@answer_error.register
def _(error: MalformedJSON) -> Response[bytes]:
    field = FieldError(loc=("body", error.position), msg=error.rule, type="json_invalid")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed-json", [field])


@answer_error.register
def _(error: NoSecret) -> Response[bytes]:
    loc = ("body", "paths", error.position)
    field = FieldError(loc=loc, msg="There is no secret at this path", type="no_secret")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no-secret", [field])


@answer_error.register
def _(error: TooManySecrets) -> Response[bytes]:
    text = (
        f"The organization has {error.count} sealed values, old ones too; a request seals at most"
        f" {MOST_ROTATED} again, since other changes wait for it. An operator can run"
        " 'backstory vault rotate --data-keys'"
    )
    return problem(HTTPStatus.CONFLICT, "too-many-secrets", text)


@answer_error.register
def _(error: SecretsGone) -> Response[bytes]:
    text = f"Destroyed, and gone for good: {', '.join(error.paths)}"
    return problem(HTTPStatus.GONE, "secrets-gone", text)


@answer_error.register
def _(error: LimitExceeded) -> Response[bytes]:
    """With the fields of draft-ietf-httpapi-ratelimit-headers-12."""
    catalog.RATE_LIMITED.add(error.policy)
    limit = f"limited to {error.quota} {_UNITS[error.seconds]}"
    text = f"{_LIMITED[error.policy]} are {limit}; try again in {error.retry_after} s"
    headers = {"retry-after": str(error.retry_after)}
    headers |= rate_limit_fields(error.policy, error.quota, error.seconds, error.retry_after)
    return problem(HTTPStatus.TOO_MANY_REQUESTS, "rate-limited", text, headers, policy=error.policy)


def rate_limit_fields(
    name: str, quota: int, seconds: int | None = None, wait: int = 1
) -> dict[str, str]:
    """The fields of a limit that was exceeded: so many in ``seconds``, or else at a time.

    ``wait`` are the seconds until the next may be accepted.
    """
    if seconds is None:
        policy, limit = f'q={quota};qu="concurrent-requests"', "a=0"
    else:
        policy, limit = f"q={quota};w={seconds}", f"a=0;w={wait}"
    return {"ratelimit-policy": f'"{name}";{policy}', "ratelimit": f'"{name}";{limit}'}


@answer_error.register
def _(_: Unauthorized) -> Response[bytes]:
    text = "Authentication required. Provide a valid API key or login session."
    headers = {"www-authenticate": "Bearer"}
    return problem(HTTPStatus.UNAUTHORIZED, "unauthorized", text, headers)


@answer_error.register
def _(_: CredentialsRepeated) -> Response[bytes]:
    text = "The request has more than one Authorization header. Send exactly one"
    return problem(HTTPStatus.BAD_REQUEST, "credentials-repeated", text)


@answer_error.register
def _(error: Forbidden) -> Response[bytes]:
    text = f"This needs the role {error.needed}; the API key has the role {error.role}"
    return problem(HTTPStatus.FORBIDDEN, "forbidden", text)


@answer_error.register
def _(error: ScopeMissing) -> Response[bytes]:
    text = f"This needs an API key that was made with the scope {error.scope}"
    return problem(HTTPStatus.FORBIDDEN, "scope-missing", text)


@answer_error.register
def _(error: UnsupportedMediaType) -> Response[bytes]:
    text = f"The body must be sent as {error.accepted}, in UTF-8"
    headers = dict.fromkeys(error.headers, error.accepted)
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return problem(status, "unsupported-media-type", text, headers)


@answer_error.register
def _(error: HeaderUnreadable) -> Response[bytes]:
    text = f"{error.name}: {error.rule}"
    return problem(HTTPStatus.BAD_REQUEST, "header-unreadable", text)
