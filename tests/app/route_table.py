"""Every operation of the application, from its own route table, and a request for each.

The route table decides which operations there are, so a new one is tested without anyone
remembering it; the OpenAPI document tells how to fill its body and its required query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import UNSET, Struct

from app.config import Config
from app.console.router import IS_PAGE
from app.main import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

ASSISTANTS = "/api/v1/assistants"
CHANGE_SETS = "/api/v1/change-sets"
KEYS = "/api/v1/users/me/api-keys"
NUMBERS = f"{ASSISTANTS}/organization/phone-numbers"
NUMBER = "+14155551234"  # the first number of an organization, with the id 1
WEBHOOKS = "/api/v1/webhooks"
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
STREAM = "/api/v1/events/stream"
ENDING = {STREAM: {"follow": "false"}}  # the answers that would have no end
_QUERY_VALUES = {"boolean": "true", "integer": "1", "string": "1"}  # a text is a version
# What a tenant owns, by the name of its path parameter: another tenant must not reach it.
OWNED = frozenset(
    (
        "assistant_id",
        "version_id",
        "version",
        "change_set_id",
        "key_id",
        "phone_number_id",
        "call_id",
        "webhook_id",
    )
)
FILLABLE = OWNED | {"phone_number", "path"}


class Operation(Struct, frozen=True, kw_only=True):
    """One verb of one path, with everything that a valid request needs but the ids."""

    verb: str
    path: str
    parameters: tuple[str, ...]
    query: dict[str, str]
    body: Any = UNSET

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"

    @property
    def writes(self) -> bool:
        return self.verb != "GET" and not self.needs_a_scope

    @property
    def needs_a_key(self) -> bool:
        return self.path.startswith("/api/") and self.path != "/api/v1/assistants/providers"

    @property
    def is_for_admins(self) -> bool:
        erases = self.verb == "DELETE" and self.path.endswith("/secrets")
        places = ("/api/v1/users", "/api/v1/vault", "/api/v1/audit", "/api/v1/webhooks")
        demands = self.verb == "PUT" and self.path == "/api/v1/policy"
        return erases or demands or self.path.startswith(places)

    @property
    def needs_a_scope(self) -> bool:
        return self.path.endswith(("/reveal", "/resolve"))

    def prepare(self, client: httpx.Client, ids: dict[str, Any]) -> None:
        """Bring what the request is about into the one state in which it is granted."""
        assistant = f"{ASSISTANTS}/{ids['assistant_id']}"
        if self.path.endswith("/restore"):
            assert client.delete(assistant).is_success
        elif self.path.endswith("/label") and self.verb == "DELETE":
            label = f"{assistant}/versions/{ids['version']}/label"
            assert client.put(label, json={"label": "for now"}).is_success
        elif "phone" in self.path:
            self._prepare_number(client, assistant)

    def _prepare_number(self, client: httpx.Client, assistant: str) -> None:
        """A number that nobody answers, or that this assistant does."""
        number = client.post(NUMBERS, json={"phone_number": NUMBER, "friendly_name": "x"}).json()
        if number["assistant_id"] is not None:
            held = f"{ASSISTANTS}/{number['assistant_id']}/phone-numbers/{number['id']}"
            assert client.post(f"{held}/unassign").is_success
        if self.verb == "GET" or "/unassign" in self.path:
            path = f"{assistant}/phone-numbers/{number['id']}/assign"
            assert client.post(path).json()["success"]

    def send(self, client: httpx.Client, ids: dict[str, Any], **options: Any) -> httpx.Response:
        """Send the request; ``ids`` fill the path, and name the assistant that a call is for."""
        if self.body is not UNSET:
            options["json"] = self.body
        if self.path.endswith("/resolve") and "assistant_id" in ids:
            number = ids["assistant_id"]
            options["json"] = self.body | {"assistant_id": number, "call_id": f"CA{number}"}
        path = self.path.format(**ids)
        return client.request(self.verb, path, params=self.query, **options)


def make_webhook(client: httpx.Client) -> int:
    """An endpoint to which nothing is sent."""
    if existing := client.get(WEBHOOKS).json():
        return int(existing[-1]["id"])
    made = client.post(WEBHOOKS, json={"url": "https://hooks.example/", "enabled": False})
    number: int = made.json()["webhook"]["id"]
    return number


def application() -> Litestar:
    """A routed application of its own."""
    return routes_of(create_app(Config()))


def routes_of(app: Any) -> Litestar:
    """The routed application inside its middlewares."""
    inner = app
    while not isinstance(inner, Litestar):
        inner = inner._app  # noqa: SLF001  # the middlewares keep what they wrap to themselves
    return inner


def _routes(app: Litestar, *, of_pages: bool) -> Iterator[HTTPRoute]:
    """The API's routes, or the console's pages: these need a session, and have tests for it."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise TypeError(f"{route.path}: a kind of route that nothing here can call")
        if all(IS_PAGE in handler.opt for handler in route.route_handlers) == of_pages:
            yield route


def _pages(app: Litestar) -> list[tuple[str, str]]:
    # A handler of several paths has them in a set, whose order differs between processes.
    routes = sorted(_routes(app, of_pages=True), key=lambda route: route.path_format)
    return [(verb, r.path_format) for r in routes for verb in _VERBS if verb in r.methods]


def _operations(app: Litestar) -> list[Operation]:
    found = {}
    for route in _routes(app, of_pages=False):
        for verb in sorted(route.methods.intersection(_VERBS)):
            described = DESCRIBED.get(route.path_format, {}).get(verb.lower(), {})
            found[verb, route.path_format] = _operation(route, verb, described)
    return list(found.values())


def _operation(route: HTTPRoute, verb: str, described: dict[str, Any]) -> Operation:
    body = described.get("requestBody", {}).get("content", {}).get("application/json")
    return Operation(
        verb=verb,
        path=route.path_format,
        parameters=tuple(route.path_parameters),
        query=ENDING.get(route.path_format, {})
        | {
            parameter["name"]: _QUERY_VALUES[parameter["schema"]["type"]]
            for parameter in described.get("parameters", ())
            if parameter["in"] == "query" and parameter["required"]
        },
        body=next(iter(body["examples"].values()))["value"] if body else UNSET,
    )


APPLICATION = application()  # for who changes nothing in it
DESCRIBED: dict[str, Any] = APPLICATION.openapi_schema.to_schema()["paths"]
OPERATIONS = _operations(APPLICATION)
PAGES = _pages(APPLICATION)  # verbs and paths of the console
