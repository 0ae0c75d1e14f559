"""Refuses an export or a stream with 429 while its caller has too many under way.

A request counts until its answer ends, or its client leaves.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from litestar.middleware import ASGIMiddleware

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.principals import Principal
    from app.services import Services


class _Limiting(ASGIMiddleware):
    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request; raises ``LimitExceeded``."""
        principal: Principal | None = scope["principal"]  # type: ignore[typeddict-item]  # by Authentication
        if principal is None:  # the route answers it
            await next_app(scope, receive, send)
            return
        with self.admitted(scope["litestar_app"].state.services, principal):
            await next_app(scope, receive, send)

    @abstractmethod
    def admitted(self, services: Services, principal: Principal) -> AbstractContextManager[None]:
        """In which a request of the principal counts."""


class ExportLimiting(_Limiting):
    """For the routes that export."""

    def admitted(self, services: Services, principal: Principal) -> AbstractContextManager[None]:
        """In which an export of the organization counts."""
        return services.exports.admitted(principal.organization_id)


class StreamLimiting(_Limiting):
    """For the routes that stream without an end."""

    def admitted(self, services: Services, principal: Principal) -> AbstractContextManager[None]:
        """In which a stream of the key counts."""
        return services.streams.admitted(principal)
