"""Refuses an export with 429 while its organization has too many under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.middleware import ASGIMiddleware

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.principals import Principal
    from app.services import Services


class ExportLimiting(ASGIMiddleware):
    """For the routes that export: a request counts until its answer ends, or its client leaves."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request; raises ``LimitExceeded``."""
        principal: Principal | None = scope["principal"]  # type: ignore[typeddict-item]  # by Authentication
        if principal is None:  # the route answers it
            await next_app(scope, receive, send)
            return
        services: Services = scope["litestar_app"].state.services
        with services.exports.admitted(principal.organization_id):
            await next_app(scope, receive, send)
