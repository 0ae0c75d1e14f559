"""Operations as the description shows them: what each reads and answers.

Handlers read bodies and write answers as bytes, so each declares here what these contain.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIType

from app.api.media_types import JSON, PROBLEM
from app.api.openapi.headers import PREFER, RATE_LIMIT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

Structs = tuple[type[msgspec.Struct], ...]
STRUCTS = "structs"  # the attribute of an operation that holds its Structs
REFERENCE = "#/components/schemas/{name}"
BEARER = "bearer"

_RATE_LIMITED = {
    "type": "urn:backstory:problem:rate-limited",
    "title": "Too Many Requests",
    "status": 429,
    "detail": "Requests of an API key are limited to 1000 a second; try again in 1 s",
    "policy": "key",
}
_ERRORS = {
    304: "The `ETag` is current",
    400: "The request cannot be read",
    401: "No API key, or one that is unknown or revoked",
    403: "The key's role or scopes do not allow it",
    404: "Missing, or in another organization",
    409: "Others changed the same paths since, or the current state does not allow it",
    410: "Destroyed permanently",
    412: "The state is not the one in `If-Match`",
    413: "The body is larger than 1 MiB",
    415: "The body is not JSON in UTF-8",
    422: "The request breaks rules; all that were found are listed",
    428: "The organization's policy requires `If-Match` or `base_version`",
    429: "Beyond a limit: of requests by the key or its organization, in a time or at once, of"
    " unknown or revoked keys from an address, of exports, of streams, or of idempotency keys; with"
    " `Retry-After`, nothing was changed",
    503: "The database is unavailable, or a read took too long; with `Retry-After`, nothing was"
    " changed",
}


@dataclass(frozen=True)
class Answer:
    """One answer of an operation that succeeds. ``schema`` is a Struct or a schema."""

    schema: type[msgspec.Struct] | Schema
    or_else: tuple[type[msgspec.Struct], ...] = ()
    mentions: tuple[type[msgspec.Struct], ...] = ()  # by the schema
    example: Any = None
    many: bool = False
    media_type: str = JSON
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Form:
    """The body in another media type than JSON."""

    media_type: str
    schema: type[msgspec.Struct]
    example: Any
    many: bool = False


@dataclass(frozen=True)
class Body:
    """The body of an operation. ``schema`` is a Struct or a schema."""

    schema: type[msgspec.Struct] | Schema
    example: Any
    required: bool = True
    others: tuple[Form, ...] = ()


@dataclass
class _Operation(Operation):
    """Completes itself. Operations are classes, but only this one a dataclass: those are slow."""

    def __post_init__(self) -> None:
        self.complete()

    def complete(self) -> None:
        """Add what the framework does not know."""


def operation(
    *answers: Answer,
    status: int = 200,
    body: Body | None = None,
    errors: tuple[int, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    public: bool = False,
    plan: type[msgspec.Struct] | None = None,
    pending: Answer | None = None,
) -> type[Operation]:
    """An operation of the description; several answers are media types of one status.

    ``plan`` is the answer of a dry run, with 200, where the status is another; ``pending`` the
    answer, with 202, while a part of the work is still to be done.
    """
    expected = (
        *errors,
        *(() if public else (401, 403, 429, 503)),
        *((413, 415, 422) if body else ()),
    )
    responses = {str(status): _success(status, answers)}
    if plan is not None:
        responses["200"] = _success(HTTPStatus.OK, (Answer(plan),))
    if pending is not None:
        responses["202"] = _success(HTTPStatus.ACCEPTED, (pending,))
    if PREFER in parameters:
        responses["204"] = OpenAPIResponse(description="With `Prefer: return=minimal`")
    responses |= {str(code): _error(code) for code in sorted(set(expected))}
    extra = list(parameters)

    class Described(_Operation):
        def complete(self) -> None:
            self.parameters = [*map(_as_sent, self.parameters or []), *extra] or None
            self.request_body = _request_body(body) if body else None
            self.responses = dict(responses)
            self.security = [] if public else [{BEARER: []}]

    setattr(Described, STRUCTS, _structs_of(answers, body, plan, pending))
    return Described


def _structs_of(
    answers: tuple[Answer, ...],
    body: Body | None,
    plan: type[msgspec.Struct] | None,
    pending: Answer | None,
) -> Structs:
    """The Structs that an operation refers to."""
    all_answers = answers if pending is None else (*answers, pending)
    schemas: list[type[msgspec.Struct] | Schema] = [
        schema
        for answer in all_answers
        for schema in (answer.schema, *answer.or_else, *answer.mentions)
    ]
    schemas += [] if body is None else [body.schema, *(form.schema for form in body.others)]
    schemas += [] if plan is None else [plan]
    return tuple(schema for schema in schemas if not isinstance(schema, Schema))


# The rules of a schema.
_RULES = ("any_of", "enum", "format", "max_length", "maximum", "min_length", "minimum", "pattern")


def _as_sent(parameter: Parameter | Reference) -> Parameter | Reference:
    """A nullable parameter with its rules on the value, not beside the ``null``."""
    if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
        schema = parameter.schema
        if schema.one_of:
            rules = {name: getattr(schema, name) for name in _RULES}
            for name in _RULES:
                setattr(schema, name, None)
            (kind,) = (c for c in schema.one_of if getattr(c, "type", None) != "null")
            taken = Schema(type=getattr(kind, "type", None), **rules)
            schema.one_of = [taken, Schema(type=OpenAPIType.NULL)]
    return parameter


def _success(status: int, answers: tuple[Answer, ...]) -> OpenAPIResponse:
    headers: dict[str, OpenAPIHeader | Reference] = {
        name: OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), description=text)
        for answer in answers
        for name, text in (answer.headers or {}).items()
    }
    return OpenAPIResponse(
        description=HTTPStatus(status).phrase,
        headers=headers or None,
        content={answer.media_type: _content(answer) for answer in answers} or None,
    )


def _content(answer: Answer) -> OpenAPIMediaType:
    schema = answer.schema if isinstance(answer.schema, Schema) else _reference(answer.schema)
    if answer.or_else:
        schema = Schema(any_of=[schema, *map(_reference, answer.or_else)])
    schema = Schema(type=OpenAPIType.ARRAY, items=schema) if answer.many else schema
    examples: dict[str, Example | Reference] | None = (
        {"example": Example(value=answer.example)} if answer.example is not None else None
    )
    return OpenAPIMediaType(schema=schema, examples=examples)


def _request_body(body: Body) -> RequestBody:
    schema: Schema | Reference = (
        body.schema if isinstance(body.schema, Schema) else _reference(body.schema)
    )
    if not body.required:
        schema = Schema(any_of=[schema, Schema(type=OpenAPIType.NULL)])
    content = {JSON: _example_of(schema, body.example)}
    for form in body.others:
        other: Schema | Reference = _reference(form.schema)
        if form.many:
            other = Schema(type=OpenAPIType.ARRAY, items=other)
        content[form.media_type] = _example_of(other, form.example)
    return RequestBody(required=body.required, content=content)


def _example_of(schema: Schema | Reference, example: Any) -> OpenAPIMediaType:
    return OpenAPIMediaType(schema=schema, examples={"example": Example(value=example)})


def _error(code: int) -> OpenAPIResponse:
    if code == HTTPStatus.NOT_MODIFIED:
        return OpenAPIResponse(description=_ERRORS[code])
    media_type = JSON if code == HTTPStatus.UNPROCESSABLE_ENTITY else PROBLEM
    content = OpenAPIMediaType(schema=Reference(ref=REFERENCE.format(name="Problem")))
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        content.examples = {"example": Example(value=_RATE_LIMITED)}
        return OpenAPIResponse(_ERRORS[code], dict(RATE_LIMIT_FIELDS), {media_type: content})
    return OpenAPIResponse(description=_ERRORS[code], content={media_type: content})


def _reference(struct: type[msgspec.Struct]) -> Reference:
    return Reference(ref=REFERENCE.format(name=struct.__name__))
