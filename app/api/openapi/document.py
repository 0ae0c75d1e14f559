"""The description as a document and as a page, with the schemas of all Structs."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Litestar, Request, Router
from litestar.enums import OpenAPIMediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.routes import HTTPRoute

from app.api import access
from app.api.middleware.published import Published
from app.api.openapi.operations import BEARER, REFERENCE, STRUCTS, Structs
from app.api.problems import Problem
from events import effects
from events.bodies.parsing import MAX_DEPTH, MAX_SAFE_INTEGER
from events.limits import MOST_VALUES
from events.shape import SETTINGS, Record

if TYPE_CHECKING:
    from events.setting_types import Effect


class _Complete(OpenAPIRenderPlugin):
    """The description with the schemas of the Structs, made at the first request."""

    def complete(self, app: Litestar, openapi_schema: dict[str, Any]) -> dict[str, Any]:
        """The description with the schemas that it refers to."""
        _, made = msgspec.json.schema_components(_structs(app), ref_template=REFERENCE)
        schemas = {name: _as_ruled(schema) for name, schema in made.items()}
        for schema in schemas.values():
            if SETTINGS.members.keys() <= schema.get("properties", {}).keys():
                _add_effects(schemas, schema, SETTINGS, effects.DEFAULT)
        components = openapi_schema["components"] | {"schemas": schemas}
        return openapi_schema | {"components": components}


def _structs(app: Litestar) -> Structs:
    """The Structs that operations refer to, and ``Problem``."""
    operations = (
        handler.operation_class
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    )
    structs = (getattr(operation, STRUCTS, ()) for operation in operations)
    return tuple(dict.fromkeys((*chain.from_iterable(structs), Problem)))


def _as_ruled(schema: Any) -> Any:
    """A schema with the rules of all JSON here, in forms that client generators accept.

    Integers are within 2^53. A generator stops at the default ``{}`` of a nullable member, so that
    default stands in the description.
    """
    if isinstance(schema, list):
        return [_as_ruled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    ruled = {name: _as_ruled(member) for name, member in schema.items()}
    if ruled.get("type") == "integer":
        ruled = {"minimum": -MAX_SAFE_INTEGER, "maximum": MAX_SAFE_INTEGER} | ruled
    if "anyOf" in ruled and ruled.get("default") == {}:
        ruled["description"] = "`{}` by default."
        del ruled["default"]
    return ruled


def _add_effects(schemas: Any, schema: Any, record: Record, around: Effect) -> None:
    """Say of each setting, at any depth, when a change of it takes effect."""
    for name, member in record.members.items():
        described = schema["properties"][name]
        described["x-takes-effect"] = effect = effects.effect_within(member, around)
        if isinstance(member.shape, Record):
            (reference,) = [
                part["$ref"] for part in (described, *described.get("anyOf", ())) if "$ref" in part
            ]
            _add_effects(schemas, schemas[reference.rpartition("/")[2]], member.shape, effect)


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


def config(version: str) -> OpenAPIConfig:
    """The description's frame."""
    return OpenAPIConfig(
        title="Backstory",
        version=version,
        path="/schema",
        description=(
            "An event-sourced settings service for voice-AI assistants: the assistants API of "
            "Burki Voice AI on the wire, every change an immutable event behind it. Every answer "
            "is private to its caller: `Cache-Control` is `private`, or `no-store` with a secret "
            "or a key in the body, and `Vary` names the headers that identify the caller. HEAD is "
            "answered wherever GET is, with its headers; OPTIONS and 405 name the methods of a "
            "path in `Allow`, and OPTIONS the media types of a PATCH in `Accept-Patch`. A body is "
            "JSON (RFC 8259) "
            f"in UTF-8, of at most 1 MiB, {MOST_VALUES} values and {MAX_DEPTH} levels: no member "
            "twice, no integer beyond 2^53, no NUL and no lone surrogate in a string. Whatever it "
            "asks for, a request that is too large or too slow is answered 408, 414 or 431, and "
            "one on a connection too many 503."
        ),
        components=Components(
            security_schemes={
                BEARER: SecurityScheme(
                    type="http", scheme="bearer", description="An API key: `bks_...`"
                )
            },
        ),
        tags=[
            Tag(name="Assistants", description="Create, read, change and delete assistants."),
            Tag(
                name="History",
                description="What changed, who changed it and why; roll back and undo.",
            ),
            Tag(name="Calls", description="What a call is to run, and what it ran."),
            Tag(name="Change sets", description="One change of several assistants, all or none."),
            Tag(
                name="Policy", description="What the organization requires of changes; for admins."
            ),
            Tag(
                name="Phone numbers", description="Which assistant answers a number, now and then."
            ),
            Tag(name="Audit", description="The log, its exports, and proof; for admins."),
            Tag(name="Events", description="The log as it grows, for those who follow it."),
            Tag(
                name="Webhooks",
                description="Endpoints that receive the organization's events; for admins.",
            ),
            Tag(name="Secrets", description="Sealed provider keys: read back, erase, rotate."),
            Tag(name="API keys", description="Keys of the organization; for admins."),
            Tag(name="Service", description="Whether the service is alive and ready."),
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
            Document(path="/openapi.json", media_type=OpenAPIMediaType.OPENAPI_JSON),
        ],
    )
