"""The routers of the API, the paths that they share, and the path of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Router
from litestar.enums import HttpMethod

from projections import addresses

if TYPE_CHECKING:
    from litestar import Request
    from litestar.types.internal_types import RouteHandlerMapItem

API = addresses.API
ASSISTANTS = addresses.ASSISTANTS
EVENTS = f"{API}/events"
ASSISTANT = f"{ASSISTANTS}/{{assistant_id:str}}"
AUDIT = f"{API}/audit"


class ApiRouter(Router):
    """A router that may have a path of another one, with other methods.

    The framework gives each router a handler of its own for OPTIONS, and refuses two for one path.
    ``app.api.methods`` answers OPTIONS, so those handlers are left out.
    """

    @property
    def route_handler_method_map(self) -> dict[str, RouteHandlerMapItem]:
        """The handlers by path and method."""
        return {
            path: {m: handler for m, handler in handlers.items() if m != HttpMethod.OPTIONS}
            for path, handlers in super().route_handler_method_map.items()
        }


def path_of(request: Request[Any, Any, Any]) -> str:
    """The path of a request. ``request.url`` would fail over a host whose port is no number."""
    return f"{request.scope.get('root_path', '')}{request.scope['path']}"
