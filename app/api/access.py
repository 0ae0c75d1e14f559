"""Who may use a route. It is data on the route, and it is checked before a request is read.

A request that fails here has shown its path, its method and its headers, nothing else: Litestar
parses parameters later, and handlers read bodies later still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from app.accounts.principals import REVEAL, Principal, Role
from app.api import methods
from app.api.errors import Forbidden, ScopeMissing, Unauthorized
from app.api.lengths import declared
from events.errors import DomainError

if TYPE_CHECKING:
    from litestar import Litestar, Request, Response
    from litestar.types import Scope

ROLE = "role"
SCOPE = "scope"
# What a route declares as its ``opt``.
PUBLIC: dict[str, Any] = {ROLE: None}
VIEWER: dict[str, Any] = {ROLE: Role.viewer}
EDITOR: dict[str, Any] = {ROLE: Role.editor}
ADMIN: dict[str, Any] = {ROLE: Role.admin}
REVEALING: dict[str, Any] = {ROLE: Role.viewer, SCOPE: REVEAL}


class RouteWithoutRole(Exception):
    """A route that does not say who may use it is not served."""


def check_routes(app: Litestar) -> None:
    """Raise ``RouteWithoutRole`` unless every route declares a role."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", [None]):
            if handler is None or not (ROLE in handler.opt or handler.http_methods == {"OPTIONS"}):
                raise RouteWithoutRole(route.path)


async def before_request(request: Request[Any, Any, Any]) -> Response[None] | None:
    """Let a request of the API through, or raise what stands against it.

    ``OPTIONS`` is answered here, and is public: it tells the methods of a path, as 405 does.
    """
    scope = request.scope
    check_headers(scope)
    if (answer := methods.options(request)) is not None:
        return answer
    needed = needed_role(scope)
    if needed is not None:
        check_role(scope, principal(scope), needed)
    check_length(scope)
    return None


def needed_role(scope: Scope) -> Role | None:
    """The role that the route of a request needs; None where it is public."""
    needed: Role | None = scope["route_handler"].opt[ROLE]
    return needed


def principal(scope: Scope) -> Principal:
    """Who calls; raises ``Unauthorized``, or what the database raised when it was asked."""
    unknown: Exception | None = scope.get("principal_unknown")  # type: ignore[assignment]  # app.accounts.authenticator
    if unknown is not None:
        raise unknown
    who: Principal | None = scope.get("principal")  # type: ignore[assignment]  # app.accounts.authenticator
    if who is None:
        raise Unauthorized
    return who


def check_role(scope: Scope, who: Principal, needed: Role) -> None:
    """Raise ``Forbidden`` or ``ScopeMissing`` for a key that may not use the route."""
    if who.role < needed:
        raise Forbidden(needed=needed.name, role=who.role.name)
    given: str | None = scope["route_handler"].opt.get(SCOPE)
    if given is not None and not who.may(given):
        raise ScopeMissing(given)


def check_headers(scope: Scope) -> None:
    """Raise the refusal of headers that say two things at once, on public routes too."""
    unknown = scope.get("principal_unknown")
    if isinstance(unknown, DomainError):
        raise unknown


def check_length(scope: Scope) -> None:
    """Raise ``RequestEntityTooLarge`` for a body that declares more than the route takes.

    A body that declares no length is cut off by Litestar while it is read.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            most = scope["route_handler"].resolve_request_max_body_size()  # type: ignore[union-attr]  # HTTP
            if most is not None and declared(value) > most:
                raise RequestEntityTooLarge
