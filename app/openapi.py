"""The OpenAPI 3.1 description: component schemas from the Structs, operations from the routes.

Handlers read bodies and write answers as bytes, so each says here what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPI,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
_PROBLEM = "application/problem+json"
_BEARER = "bearer"

_ERRORS = {
    400: "The request cannot be read",
    401: "No API key, or one that is unknown or revoked",
    403: "The key's role does not reach",
    404: "Missing, or another organization's",
    410: "Destroyed for good",
    413: "The body is larger than 1 MiB",
    415: "The body is not JSON in UTF-8",
    422: "A rule is broken; every one that was found is listed",
    503: "The database cannot be written; with Retry-After, nothing was changed",
}

PREFER_STRICT = Parameter(
    name="Prefer",
    param_in="header",
    schema=Schema(type=OpenAPIType.STRING),
    description="`handling=strict` makes unknown members errors instead of ignoring them.",
    examples={"strict": Example(value="handling=strict")},
)


@dataclass(frozen=True)
class Answer:
    """One way in which an operation succeeds. ``schema`` is a Struct or a schema of its own."""

    schema: type[msgspec.Struct] | Schema
    example: Any = None
    many: bool = False
    media_type: str = _JSON
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Body:
    """What an operation reads."""

    schema: type[msgspec.Struct]
    example: Any
    required: bool = True


class Page(OpenAPIRenderPlugin):
    """The description as a page from this server alone: no script, no other host's asset."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page, whole."""
        del request
        return _pages.get_template("schema.html").render(api=openapi_schema).encode()


_pages = Environment(loader=PackageLoader("app"), autoescape=True, undefined=StrictUndefined)


def operation(
    *answers: Answer,
    status: int = 200,
    body: Body | None = None,
    errors: tuple[int, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    public: bool = False,
) -> type[Operation]:
    """An operation as the description shows it; several answers are media types of one status."""
    expected = (*errors, *(() if public else (401, 403, 503)), *((413, 415, 422) if body else ()))
    said = {str(status): _success(status, answers)}
    said |= {str(code): _error(code) for code in sorted(set(expected))}
    extra = list(parameters)

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), *extra] or None
            self.request_body = _request_body(body) if body else None
            self.responses = dict(said)
            self.security = [] if public else [{_BEARER: []}]

    return Described


def add_components(api: OpenAPI, structs: tuple[type[msgspec.Struct], ...]) -> None:
    """Put the schemas of the Structs that operations refer to in their place."""
    _, schemas = msgspec.json.schema_components(structs, ref_template=REFERENCE)
    if api.components.schemas is None:
        raise TypeError("a description has components")
    api.components.schemas.update(schemas)


def config(version: str) -> OpenAPIConfig:
    """The description's frame."""
    return OpenAPIConfig(
        title="Backstory",
        version=version,
        path="/schema",
        description=(
            "An event-sourced settings service for voice-AI assistants: the assistants API of "
            "Burki Voice AI on the wire, every change an immutable event behind it."
        ),
        components=Components(
            security_schemes={
                _BEARER: SecurityScheme(
                    type="http", scheme="bearer", description="An API key: `bks_...`"
                )
            },
        ),
        tags=[
            Tag(name="Assistants", description="Create, read, change and delete assistants."),
            Tag(name="History", description="What changed, who did it and why; going back."),
            Tag(name="Audit", description="The log, its exports, and proof; for admins."),
            Tag(name="Secrets", description="Sealed provider keys: read back, erase, rotate."),
            Tag(name="API keys", description="Keys of the organization; for admins."),
            Tag(name="Service", description="Whether the service lives and answers."),
        ],
        render_plugins=[Page(path="/")],
    )


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
    schema = Schema(type=OpenAPIType.ARRAY, items=schema) if answer.many else schema
    examples: dict[str, Example | Reference] | None = (
        {"example": Example(value=answer.example)} if answer.example is not None else None
    )
    return OpenAPIMediaType(schema=schema, examples=examples)


def _request_body(body: Body) -> RequestBody:
    schema: Schema | Reference = _reference(body.schema)
    if not body.required:
        schema = Schema(any_of=[schema, Schema(type=OpenAPIType.NULL)])
    content = OpenAPIMediaType(schema=schema, examples={"example": Example(value=body.example)})
    return RequestBody(required=body.required, content={_JSON: content})


def _error(code: int) -> OpenAPIResponse:
    media_type = _JSON if code == HTTPStatus.UNPROCESSABLE_ENTITY else _PROBLEM
    content = OpenAPIMediaType(schema=Reference(ref=REFERENCE.format(name="Problem")))
    return OpenAPIResponse(description=_ERRORS[code], content={media_type: content})


def _reference(struct: type[msgspec.Struct]) -> Reference:
    return Reference(ref=REFERENCE.format(name=struct.__name__))
