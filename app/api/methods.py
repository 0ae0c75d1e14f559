"""The methods that every path has beside its own: HEAD wherever GET is, and OPTIONS.

The header ``Allow`` is made here alone, for OPTIONS and for 405.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from litestar import Response
from litestar.enums import HttpMethod
from litestar.routes import HTTPRoute

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar import Litestar, Request

ACCEPT_PATCH = "accept_patch"  # the media types that a route with PATCH declares in its ``opt``
IS_HEAD = "is_head"  # in a request's scope


class PatchWithoutTypes(Exception):
    """A route with PATCH declares no media types; the application does not start."""


def is_head(scope: Any) -> bool:
    """Whether the request is HEAD, answered as GET: side effects of the GET are left out."""
    return bool(scope.get(IS_HEAD))


def sent_method(scope: Any) -> str:
    """The method as the client sent it."""
    method: str = HttpMethod.HEAD if is_head(scope) else scope["method"]
    return method


def allow(methods: Iterable[str]) -> str:
    """The value of ``Allow`` for a path with these methods of its own."""
    own = {str(method) for method in methods}
    head = {"HEAD"} if "GET" in own else set()
    return ", ".join(sorted(own | head | {"OPTIONS"}))


def options(request: Request[Any, Any, Any]) -> Response[None] | None:
    """The answer to OPTIONS, for any caller; None for another method.

    It replaces the framework's answer, which knows only the first handler of a path.
    """
    if request.scope["method"] != HttpMethod.OPTIONS:
        return None
    template: str = request.scope["path_template"]
    (route,) = (route for route in _routes(request.app) if route.path_format == template)
    headers = {"allow": allow(route.methods)}
    if (accepted := _accept_patch(route)) is not None:
        headers["accept-patch"] = accepted
    return Response(None, status_code=HTTPStatus.NO_CONTENT, headers=headers)


def check_routes(app: Litestar) -> None:
    """Raise ``PatchWithoutTypes`` unless every route with PATCH declares its media types."""
    for route in _routes(app):
        if "PATCH" in route.methods and _accept_patch(route) is None:
            raise PatchWithoutTypes(route.path)


def _accept_patch(route: HTTPRoute) -> str | None:
    declared = (handler.opt.get(ACCEPT_PATCH) for handler in route.route_handlers)
    return next((", ".join(types) for types in declared if types is not None), None)


def _routes(app: Litestar) -> Iterable[HTTPRoute]:
    return (route for route in app.routes if isinstance(route, HTTPRoute))
