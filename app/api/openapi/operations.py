"""Operations as the description shows them: what each reads and answers.

Handlers read bodies and write answers as bytes, so each says here what they hold.
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
from app.api.openapi.headers import PREFER

if TYPE_CHECKING:
    from collections.abc import Mapping

Structs = tuple[type[msgspec.Struct], ...]
STRUCTS = "structs"  # an attribute of each operation
REFERENCE = "#/components/schemas/{name}"
BEARER = "bearer"

_ERRORS = {
    304: "You have it already",
    400: "The request cannot be read",
    401: "No API key, or one that is unknown or revoked",
    403: "The key's role does not reach",
    404: "Missing, or another organization's",
    409: "Others changed the same since, or something else stands against it as it is now",
    410: "Destroyed for good",
    412: "It is not what the request holds it to be",
    413: "The body is larger than 1 MiB",
    415: "The body is not JSON in UTF-8",
    422: "A rule is broken; every one that was found is listed",
    428: "The organization's policy wants the request to be conditional",
    503: "The database cannot be written; with Retry-After, nothing was changed",
}


@dataclass(frozen=True)
class Answer:
    """One way in which an operation succeeds. ``schema`` is a Struct or a schema of its own."""

    schema: type[msgspec.Struct] | Schema
    or_else: tuple[type[msgspec.Struct], ...] = ()
    example: Any = None
    many: bool = False
    media_type: str = JSON
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Form:
    """A body in another media type than JSON."""

    media_type: str
    schema: type[msgspec.Struct]
    example: Any
    many: bool = False


@dataclass(frozen=True)
class Body:
    """What an operation reads."""

    schema: type[msgspec.Struct]
    example: Any
    required: bool = True
    others: tuple[Form, ...] = ()


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
    """An operation as the description shows it; several answers are media types of one status.

    ``plan`` is what a dry run answers, with 200, where the deed itself answers otherwise;
    ``pending`` what is answered, with 202, while a part of it is still to be done.
    """
    expected = (*errors, *(() if public else (401, 403, 503)), *((413, 415, 422) if body else ()))
    said = {str(status): _success(status, answers)}
    if plan is not None:
        said["200"] = _success(HTTPStatus.OK, (Answer(plan),))
    if pending is not None:
        said["202"] = _success(HTTPStatus.ACCEPTED, (pending,))
    if PREFER in parameters:
        said["204"] = OpenAPIResponse(description="As asked with `Prefer: return=minimal`")
    said |= {str(code): _error(code) for code in sorted(set(expected))}
    extra = list(parameters)

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*map(_as_sent, self.parameters or []), *extra] or None
            self.request_body = _request_body(body) if body else None
            self.responses = dict(said)
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
    schemas = [schema for one in all_answers for schema in (one.schema, *one.or_else)]
    schemas += [] if body is None else [body.schema, *(form.schema for form in body.others)]
    schemas += [] if plan is None else [plan]
    return tuple(schema for schema in schemas if not isinstance(schema, Schema))


# What says of a value which ones are taken.
_RULES = ("any_of", "enum", "format", "max_length", "maximum", "min_length", "minimum", "pattern")


def _as_sent(parameter: Parameter | Reference) -> Parameter | Reference:
    """A parameter whose rules stand with its value, not beside the null that it may be instead."""
    if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
        schema = parameter.schema
        if schema.one_of:
            rules = {name: getattr(schema, name) for name in _RULES}
            for name in _RULES:
                setattr(schema, name, None)
            (kind,) = (one for one in schema.one_of if getattr(one, "type", None) != "null")
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
    schema: Schema | Reference = _reference(body.schema)
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
    return OpenAPIResponse(description=_ERRORS[code], content={media_type: content})


def _reference(struct: type[msgspec.Struct]) -> Reference:
    return Reference(ref=REFERENCE.format(name=struct.__name__))
