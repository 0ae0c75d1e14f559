"""Refuses requests beyond a limit with 429, before they are routed.

``/health`` and ``/ready`` are never refused. The console counts its pages itself, once it knows the
key of their session: see ``app.console.visitor``.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from litestar import Request
from litestar.enums import ScopeType

from app.api.problems import answer_error
from app.limits import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.accounts.rate_limits import RateLimits

# Seconds by which a refusal is delayed: a client that tries again at once leaves time for others.
_ANSWERED_AFTER = (0.05, 0.15)
_NEVER_REFUSED = frozenset(("/health", "/ready"))


class RateLimiting:
    """Counts the requests of each key, and refuses those beyond a limit."""

    def __init__(self, app: ASGIApp, limits: Callable[[], RateLimits]) -> None:
        self._app = app
        self._limits = limits  # made when the application starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == ScopeType.HTTP and scope["path"] not in _NEVER_REFUSED:
            try:
                self._count(scope)
            except LimitExceeded as error:
                await _refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _count(self, scope: Any) -> None:
        if (principal := scope["principal"]) is not None:
            self._limits().take(principal)
        elif isinstance(unknown := scope.get("principal_unknown"), LimitExceeded):
            raise unknown  # too many failed logins


async def _refuse(error: LimitExceeded, scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(random.uniform(*_ANSWERED_AFTER))  # noqa: S311  # jitter
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    await answer_error(error).to_asgi_response(None, request)(scope, receive, send)
