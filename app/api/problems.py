"""Refusals and failures as answers. Status codes and their words stand here alone.

Every error body is an object with ``detail`` and the members of RFC 9457 beside it. For 422,
``detail`` is the list that FastAPI's clients know: ``[{loc, msg, type}]``.
"""

from __future__ import annotations

from functools import singledispatch
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response

from app.accounts.api_keys import KeyNotFound
from app.api.errors import (
    CredentialsRepeated,
    Forbidden,
    HeaderUnreadable,
    PhoneNumberNotAssigned,
    ScopeMissing,
    Unauthorized,
    UnsupportedMediaType,
)
from app.assistants.change_sets import ChangeSetNotFound, RefusedFor
from app.assistants.preconditions import StaleTag, etag
from app.assistants.requests import (
    ChangesConflict,
    LabelTaken,
    NotUndoable,
    PreconditionFailed,
    PreconditionRequired,
)
from app.audit.bounds import BeyondLog
from app.transactions.idempotency import IdempotencyKeyReused, RequestRunning
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


_PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = "1"
_LONGEST_NAME = 100


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
    **members: Any,
) -> Response[bytes]:
    """An error's answer; ``members`` say more of it."""
    body = Problem(
        type=f"urn:backstory:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail if isinstance(detail, str) else list(detail),
    )
    return Response(
        msgspec.json.encode(msgspec.structs.asdict(body) | members),
        status_code=status,
        media_type=_PROBLEM_JSON if isinstance(detail, str) else "application/json",
        headers=headers,
    )


@singledispatch
def answer_refusal(refusal: DomainError) -> Response[bytes]:
    """Answer a refusal; each kind of it has its function below."""
    raise refusal


@answer_refusal.register
def _(refusal: AssistantNotFound) -> Response[bytes]:
    text = f"Assistant with ID {refusal.assistant_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "assistant-not-found", text)


@answer_refusal.register
def _(refusal: VersionNotFound) -> Response[bytes]:
    history = f"the settings history of assistant {refusal.assistant_id}"
    text = f"Version {str(refusal.version)[:_LONGEST_NAME]} not found in {history}"
    return problem(HTTPStatus.NOT_FOUND, "version-not-found", text)


@answer_refusal.register
def _(refusal: NotDeleted) -> Response[bytes]:
    text = f"Assistant with ID {refusal.assistant_id} is not deleted: there is nothing to restore"
    return problem(HTTPStatus.CONFLICT, "not-deleted", text)


@answer_refusal.register
def _(refusal: PreconditionFailed) -> Response[bytes]:
    now = refusal.version
    text = (
        f"If-Match is not the tag of this assistant as it is now (version {now})."
        f' Send the ETag of a current read, or "{now}".'
        if refusal.is_unknown
        else f"The assistant is at version {now} by now; nothing was changed"
    )
    return problem(
        HTTPStatus.PRECONDITION_FAILED,
        "precondition-failed",
        text,
        {"etag": etag(refusal.tag)},
        version=refusal.version,
        changed_since=refusal.changes,
    )


@answer_refusal.register
def _(refusal: StaleTag) -> Response[bytes]:
    text = "It is not as it was when it was read or planned; nothing was changed"
    headers = {"etag": etag(refusal.tag)}
    return problem(HTTPStatus.PRECONDITION_FAILED, "precondition-failed", text, headers)


@answer_refusal.register
def _(refusal: PreconditionRequired) -> Response[bytes]:
    text = "The organization's policy wants If-Match or base_version on every change"
    status = HTTPStatus.PRECONDITION_REQUIRED
    return problem(status, "precondition-required", text, rule=refusal.rule)


@answer_refusal.register
def _(refusal: ChangesConflict) -> Response[bytes]:
    text = (
        f"{refusal.count} of the paths were changed by others since; nothing was changed."
        " Read 'conflicts', or say with on_conflict which side wins"
    )
    return problem(
        HTTPStatus.CONFLICT,
        "conflict",
        text,
        {"etag": etag(refusal.tag)},
        version=refusal.version,
        conflicts=refusal.conflicts,
    )


@answer_refusal.register
def _(refusal: PatchTestFailed) -> Response[bytes]:
    text = f"Operation {refusal.position} tests {refusal.path}, which holds another value"
    return problem(HTTPStatus.CONFLICT, "test-failed", text, position=refusal.position)


@answer_refusal.register
def _(refusal: NotUndoable) -> Response[bytes]:
    rule = f"Version {refusal.version} is {refusal.kind}: only changes of settings are undone"
    error = FieldError(loc=("body", "version"), msg=rule, type="not_undoable")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not-undoable", [error])


@answer_refusal.register
def _(refusal: LabelTaken) -> Response[bytes]:
    text = f"Version {refusal.version} has the label {refusal.label!r}; take it from there first"
    return problem(HTTPStatus.CONFLICT, "label-taken", text, version=refusal.version)


@answer_refusal.register
def _(refusal: PathProtected) -> Response[bytes]:
    text = f"Only admins may change {', '.join(refusal.paths)}"
    status = HTTPStatus.FORBIDDEN
    return problem(status, "path-protected", text, rule=refusal.rule, paths=refusal.paths)


@answer_refusal.register
def _(refusal: ReasonRequired) -> Response[bytes]:
    at = f" of {', '.join(refusal.paths)}" if refusal.paths else ""
    rule = f"The organization's policy wants a reason for every change{at}"
    error = FieldError(loc=refusal.loc, msg=rule, type=refusal.rule)
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(status, "reason-required", [error], rule=refusal.rule, paths=refusal.paths)


@answer_refusal.register
def _(_: IdempotencyKeyReused) -> Response[bytes]:
    rule = "This key was used for another request; a new request needs a new key"
    error = FieldError(loc=("header", "Idempotency-Key"), msg=rule, type="idempotency_key_reused")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", [error])


@answer_refusal.register
def _(_: RequestRunning) -> Response[bytes]:
    text = "The request with this key is being carried out; ask again for its answer"
    headers = {"retry-after": RETRY_SECONDS}
    return problem(HTTPStatus.CONFLICT, "request-running", text, headers)


@answer_refusal.register
def _(refusal: ChangeSetNotFound) -> Response[bytes]:
    text = f"Change set with ID {refusal.change_set_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "change-set-not-found", text)


@answer_refusal.register
def _(refusal: RefusedFor) -> Response[bytes]:
    """One assistant of several stands in the way of all."""
    response = answer_refusal(refusal.refusal)
    body = msgspec.json.decode(response.content) | {"assistant_id": refusal.assistant_id}
    response.content = msgspec.json.encode(body)
    return response


@answer_refusal.register
def _(refusal: KeyNotFound) -> Response[bytes]:
    text = f"API key with ID {refusal.key_id} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "key-not-found", text)


@answer_refusal.register
def _(refusal: PhoneNumberNotAssigned) -> Response[bytes]:
    text = f"Assistant assigned to phone number {refusal.number} not found in your organization"
    return problem(HTTPStatus.NOT_FOUND, "phone-number-not-assigned", text)


@answer_refusal.register
def _(refusal: InvalidSettings) -> Response[bytes]:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", refusal.errors)


@answer_refusal.register
def _(refusal: BeyondLog) -> Response[bytes]:
    rule = f"Input should be from {refusal.least} to {refusal.most}: the log has no other"
    error = FieldError(loc=("query", refusal.name), msg=rule, type="beyond_log")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "beyond-log", [error])


@answer_refusal.register
def _(refusal: MalformedJSON) -> Response[bytes]:
    error = FieldError(loc=("body", refusal.position), msg=refusal.rule, type="json_invalid")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed-json", [error])


@answer_refusal.register
def _(refusal: NoSecret) -> Response[bytes]:
    loc = ("body", "paths", refusal.position)
    error = FieldError(loc=loc, msg="There is no secret at this path", type="no_secret")
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no-secret", [error])


@answer_refusal.register
def _(refusal: SecretsGone) -> Response[bytes]:
    text = f"Destroyed, and gone for good: {', '.join(refusal.paths)}"
    return problem(HTTPStatus.GONE, "secrets-gone", text)


@answer_refusal.register
def _(_: Unauthorized) -> Response[bytes]:
    text = "Authentication required. Provide a valid API key or login session."
    headers = {"www-authenticate": "Bearer"}
    return problem(HTTPStatus.UNAUTHORIZED, "unauthorized", text, headers)


@answer_refusal.register
def _(_: CredentialsRepeated) -> Response[bytes]:
    text = "The request has more than one Authorization header. Send exactly one"
    return problem(HTTPStatus.BAD_REQUEST, "credentials-repeated", text)


@answer_refusal.register
def _(refusal: Forbidden) -> Response[bytes]:
    text = f"This needs the role {refusal.needed}; the API key has the role {refusal.role}"
    return problem(HTTPStatus.FORBIDDEN, "forbidden", text)


@answer_refusal.register
def _(refusal: ScopeMissing) -> Response[bytes]:
    text = f"This needs an API key that was made with the scope {refusal.scope}"
    return problem(HTTPStatus.FORBIDDEN, "scope-missing", text)


@answer_refusal.register
def _(refusal: UnsupportedMediaType) -> Response[bytes]:
    text = f"The body must be sent as {refusal.accepted}, in UTF-8"
    headers = dict.fromkeys(refusal.told_in, refusal.accepted)
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return problem(status, "unsupported-media-type", text, headers)


@answer_refusal.register
def _(refusal: HeaderUnreadable) -> Response[bytes]:
    text = f"{refusal.name}: {refusal.rule}"
    return problem(HTTPStatus.BAD_REQUEST, "header-unreadable", text)
