"""The methods that every path has beside its own: HEAD wherever GET is, and OPTIONS.

``Allow`` is made in this one place, of all that a path answers, for OPTIONS and for 405.
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

ACCEPT_PATCH = "accept_patch"  # what a route with PATCH declares in its ``opt``: media types
IS_HEAD = "is_head"  # in a request's scope


class PatchWithoutTypes(Exception):
    """A route with PATCH that does not say which media types it reads is not served."""


def is_head(scope: Any) -> bool:
    """Whether only the headers of a GET are asked for: what it would do is then not done."""
    return bool(scope.get(IS_HEAD))


def asked(scope: Any) -> str:
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

    It takes the place of the framework's own, which knows the first handler of a path alone.
    """
    if request.scope["method"] != HttpMethod.OPTIONS:
        return None
    template: str = request.scope["path_template"]
    (route,) = (one for one in _routes(request.app) if one.path_format == template)
    headers = {"allow": allow(route.methods)}
    if (accepted := _accept_patch(route)) is not None:
        headers["accept-patch"] = accepted
    return Response(None, status_code=HTTPStatus.NO_CONTENT, headers=headers)


def check_routes(app: Litestar) -> None:
    """Raise ``PatchWithoutTypes`` unless every route with PATCH says what it reads."""
    for route in _routes(app):
        if "PATCH" in route.methods and _accept_patch(route) is None:
            raise PatchWithoutTypes(route.path)


def _accept_patch(route: HTTPRoute) -> str | None:
    declared = (handler.opt.get(ACCEPT_PATCH) for handler in route.route_handlers)
    return next((", ".join(types) for types in declared if types is not None), None)


def _routes(app: Litestar) -> Iterable[HTTPRoute]:
    return (route for route in app.routes if isinstance(route, HTTPRoute))
