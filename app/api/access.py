"""The role that each route needs: declared on the route, checked before anything else is read.

At this point only the path, the method and the headers are known. Litestar parses parameters
later, and handlers read bodies later still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from app.accounts.principals import RESOLVE, REVEAL, Principal, Role
from app.api import methods
from app.api.errors import CredentialsRepeated, Forbidden, ScopeMissing, Unauthorized
from app.api.lengths import declared

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
RESOLVING: dict[str, Any] = {ROLE: Role.viewer, SCOPE: RESOLVE}


class RouteWithoutRole(Exception):
    """A route declares no role; the application does not start."""


def check_routes(app: Litestar) -> None:
    """Raise ``RouteWithoutRole`` unless every route declares a role."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", [None]):
            if handler is None or not (ROLE in handler.opt or handler.http_methods == {"OPTIONS"}):
                raise RouteWithoutRole(route.path)


async def before_request(request: Request[Any, Any, Any]) -> Response[None] | None:
    """Raise unless the caller may use the route.

    ``OPTIONS`` is answered here, and is public: it names the methods of a path, as 405 does.
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
    """The role that a route needs; None where it is public."""
    needed: Role | None = scope["route_handler"].opt[ROLE]
    return needed


def principal(scope: Scope) -> Principal:
    """The caller; raises ``Unauthorized``, or the error of looking for the key."""
    unknown: Exception | None = scope.get("principal_unknown")  # type: ignore[assignment]  # set by Authentication
    if unknown is not None:
        raise unknown
    found: Principal | None = scope.get("principal")  # type: ignore[assignment]  # as above
    if found is None:
        raise Unauthorized
    return found


def check_role(scope: Scope, principal: Principal, needed: Role) -> None:
    """Raise ``Forbidden`` or ``ScopeMissing`` for a key that may not use the route."""
    if principal.role < needed:
        raise Forbidden(needed=needed.name, role=principal.role.name)
    permission: str | None = scope["route_handler"].opt.get(SCOPE)
    if permission is not None and not principal.may(permission):
        raise ScopeMissing(permission)


def check_headers(scope: Scope) -> None:
    """Raise the error of contradicting headers, on public routes too."""
    unknown = scope.get("principal_unknown")
    if isinstance(unknown, CredentialsRepeated):
        raise unknown


def check_length(scope: Scope) -> None:
    """Raise ``RequestEntityTooLarge`` for a declared length above the route's limit.

    Litestar cuts off a body without a declared length while it is read.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            most = scope["route_handler"].resolve_request_max_body_size()  # type: ignore[union-attr]  # HTTP
            if most is not None and declared(value) > most:
                raise RequestEntityTooLarge
