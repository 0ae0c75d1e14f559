"""The OpenAPI 3.1 description: component schemas from the Structs, operations from the routes.

Handlers read bodies and write answers as bytes, so each says here what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Litestar, Request, Router
from litestar.enums import OpenAPIMediaType as OpenAPIMediaTypes
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
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
from litestar.params import QueryParameter
from litestar.routes import HTTPRoute

from app.api import access
from app.api.memento import HTTP_DATE
from app.api.problems import Problem
from app.api.published import Published
from events.bodies.parsing import MAX_DEPTH, MAX_SAFE_INTEGER
from events.limits import MAX_REASON, MOST_VALUES
from events.pointers import POINTER
from events.setting_types import VERSION_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

Structs = tuple[type[msgspec.Struct], ...]
STRUCTS = "structs"  # an attribute of each operation
REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"
_PROBLEM = "application/problem+json"
_BEARER = "bearer"

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


def _header(name: str, description: str, example: str, **rules: Any) -> Parameter:
    return Parameter(
        name=name,
        param_in="header",
        schema=Schema(type=OpenAPIType.STRING, **rules),
        description=description,
        examples={"example": Example(value=example)},
    )


PREFER = _header(
    "Prefer",
    "`handling=strict` makes unknown members, and secrets that are not copied, errors; "
    "`handling=lenient` leaves them out, masks in a creation too, and names them all in the "
    "answer's `ignored`. `return=minimal` answers 204, `dry-run` tells what would happen.",
    "handling=strict",
)
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "The same request with the same key gets the same answer, and happens once.",
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
    pattern=r'^(?:"[\x20-\x21\x23-\x7e]{1,255}"|[\x21\x23-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?)$',
)
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = rf"^(?:\*|{_TAG}(?: *, *{_TAG}){{0,99}})$"
IF_MATCH = _header(
    "If-Match",
    "The `ETag` that the change is to be made over. Of an assistant, its bare version is taken too:"
    ' `"7"`.',
    '"7-73300871f44c168e7c949de2c750e60c"',
    pattern=_TAGS,
)
IF_NONE_MATCH = _header(
    "If-None-Match",
    "304 where this is the current `ETag`, whole: a bare version is no tag of anything.",
    '"7-73300871f44c168e7c949de2c750e60c"',
    pattern=_TAGS,
)
ACCEPT_DATETIME = _header(
    "Accept-Datetime",
    "As it was then (RFC 7089).",
    "Sun, 01 Mar 2026 09:00:00 GMT",
    pattern=HTTP_DATE,
)
# Of what is read as it was (RFC 7089).
MEMENTO = {
    "Memento-Datetime": "Of a past state: when it came to be.",
    "Content-Location": "Of a past state: where it is read whenever one likes.",
    "Link": "Of a past state: `original` and `timegate`, and each `memento` that is `first`,"
    " `prev`, `next` or `last`.",
}
WRITING = (IF_MATCH, PREFER, IDEMPOTENCY_KEY)

# ``schema_extra`` describes what is checked elsewhere.
VERSION = QueryParameter(
    description="`7`, `latest`, `-1` (the one before), or `label:NAME`.",
    schema_extra={"pattern": VERSION_NAME},
)
BASE_VERSION = QueryParameter(
    description="The version that you had read: what others changed since is kept.",
    schema_extra={"pattern": VERSION_NAME},
)
CURSOR = QueryParameter(
    description="From the `Link` header of the page before; as quick as the first page, however"
    " deep, and what is new does not shift it.",
    schema_extra={"pattern": "^dj[A-Za-z0-9_-]+$", "maxLength": 24},
)
SEARCH = QueryParameter(
    description="Part of a name or description.",
    max_length=200,
    schema_extra={"pattern": "^[^\\x00]*$"},
)
ON_CONFLICT = QueryParameter(description="`fail` (409), `theirs` or `yours`, with `base_version`.")
PATH = QueryParameter(
    description="A JSON Pointer: what is about this path, below it or all of what it is in.",
    pattern=POINTER,
    max_length=1000,
)
DRY_RUN = QueryParameter(description="Tell what would happen, and do nothing.")
DESCRIPTION = QueryParameter(
    description="Why: the reason that the history shows.", max_length=MAX_REASON
)


@dataclass(frozen=True)
class Answer:
    """One way in which an operation succeeds. ``schema`` is a Struct or a schema of its own."""

    schema: type[msgspec.Struct] | Schema
    or_else: tuple[type[msgspec.Struct], ...] = ()
    example: Any = None
    many: bool = False
    media_type: str = _JSON
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


class _Complete(OpenAPIRenderPlugin):
    """The description with the schemas of the Structs, which are made when somebody asks."""

    def complete(self, app: Litestar, openapi_schema: dict[str, Any]) -> dict[str, Any]:
        """The description, its references with what they refer to."""
        _, made = msgspec.json.schema_components(_structs(app), ref_template=REFERENCE)
        schemas = {name: _as_ruled(schema) for name, schema in made.items()}
        components = openapi_schema["components"] | {"schemas": schemas}
        return openapi_schema | {"components": components}


def _structs(app: Litestar) -> Structs:
    """The Structs that the operations of the routes refer to, and the one of all errors."""
    operations = (
        handler.operation_class
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    )
    structs = (getattr(operation, STRUCTS, ()) for operation in operations)
    return tuple(dict.fromkeys((*chain.from_iterable(structs), Problem)))


def _as_ruled(schema: Any) -> Any:
    """A schema with what holds of all JSON here, in forms that makers of clients take.

    Integers are within 2^53. A default that is an object, of what may also be null, is said in
    words: a client maker stops at it.
    """
    if isinstance(schema, list):
        return [_as_ruled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    ruled = {name: _as_ruled(member) for name, member in schema.items()}
    if ruled.get("type") == "integer":
        ruled = {"minimum": -MAX_SAFE_INTEGER, "maximum": MAX_SAFE_INTEGER} | ruled
    if "anyOf" in ruled and ruled.get("default") == {}:
        ruled["description"] = "`{}` by default."
        del ruled["default"]
    return ruled


class Document(_Complete):
    """The description as JSON."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document, whole."""
        return self.render_json(request, self.complete(request.app, openapi_schema))


class Page(_Complete):
    """The description as a page from this server alone: no script, no other host's asset."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page, whole."""
        api = self.complete(request.app, openapi_schema)
        pages = Environment(
            loader=PackageLoader("app.api"), autoescape=True, undefined=StrictUndefined
        )
        return pages.get_template("schema.html").render(api=api).encode()


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
            self.security = [] if public else [{_BEARER: []}]

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


def config(version: str) -> OpenAPIConfig:
    """The description's frame."""
    return OpenAPIConfig(
        title="Backstory",
        version=version,
        path="/schema",
        description=(
            "An event-sourced settings service for voice-AI assistants: the assistants API of "
            "Burki Voice AI on the wire, every change an immutable event behind it. Every answer "
            "is its caller's own: `Cache-Control` says `private`, or `no-store` where it holds a "
            "secret or a key, and `Vary` names what identifies the caller. HEAD is answered "
            "wherever GET is, with its headers; OPTIONS and 405 name the methods of a path in "
            "`Allow`, and OPTIONS what a PATCH may be in `Accept-Patch`. A body is JSON (RFC 8259) "
            f"in UTF-8, of at most 1 MiB, {MOST_VALUES} values and {MAX_DEPTH} levels: no member "
            "twice, no integer beyond 2^53, no NUL and no lone surrogate in a string."
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
            Tag(name="Change sets", description="One change of several assistants, all or none."),
            Tag(name="Policy", description="What the organization demands of changes; for admins."),
            Tag(name="Audit", description="The log, its exports, and proof; for admins."),
            Tag(name="Secrets", description="Sealed provider keys: read back, erase, rotate."),
            Tag(name="API keys", description="Keys of the organization; for admins."),
            Tag(name="Service", description="Whether the service lives and answers."),
        ],
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            include_in_schema=False,
            opt=access.PUBLIC,
            middleware=[Published()],
        ),
        render_plugins=[
            Page(path="/"),
            Document(path="/openapi.json", media_type=OpenAPIMediaTypes.OPENAPI_JSON),
        ],
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
    content = {_JSON: _example_of(schema, body.example)}
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
    media_type = _JSON if code == HTTPStatus.UNPROCESSABLE_ENTITY else _PROBLEM
    content = OpenAPIMediaType(schema=Reference(ref=REFERENCE.format(name="Problem")))
    return OpenAPIResponse(description=_ERRORS[code], content={media_type: content})


def _reference(struct: type[msgspec.Struct]) -> Reference:
    return Reference(ref=REFERENCE.format(name=struct.__name__))
