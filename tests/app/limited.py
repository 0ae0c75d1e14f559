"""Applications with low limits, in this process, whose time goes on when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.api.middleware import rate_limits
from app.main import create_app
from app.services import utc_now
from tests.app.route_table import routes_of
from tests.databases import config_of

if TYPE_CHECKING:
    from pathlib import Path

    from app.services import Services

HERE = "192.0.2.1"


class Seconds:
    """A monotonic clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Application:
    """A running application."""

    def __init__(self, app: Any, seconds: Seconds) -> None:
        self.app = app
        self.seconds = seconds
        self.services: Services = routes_of(app).state.services

    def client(self, token: str | None = None, host: str | None = HERE) -> httpx.AsyncClient:
        """A client with a key at an address."""
        transport = httpx.ASGITransport(self.app, client=(host, 1) if host else None)  # type: ignore[arg-type]  # ASGI has None, too
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url="http://localhost", transport=transport, headers=headers)

    async def statuses(
        self,
        token: str | None,
        times: int,
        *,
        host: str | None = HERE,
        path: str = "/api/v1/policy",
    ) -> list[int]:
        """The statuses of equal reads, one after the other."""
        async with self.client(token, host) as client:
            return [(await client.get(path)).status_code for _ in range(times)]


@asynccontextmanager
async def running(database: Path, **settings: Any) -> AsyncIterator[Application]:
    """An application on a database."""
    seconds = Seconds()
    app: Any = create_app(config_of(database, **settings), utc_now, monotonic=seconds)
    async with routes_of(app).lifespan():
        yield Application(app, seconds)


def served(
    database: Path,
    story: Callable[[Application], Awaitable[None]],
    delay: float = 0,
    **settings: Any,
) -> None:
    """Run a story with an application, which delays its refusals by some seconds."""

    async def run() -> None:
        async with running(database, **settings) as application:
            await story(application)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limits, "_ANSWERED_AFTER", (delay, delay))
        asyncio.run(run())
