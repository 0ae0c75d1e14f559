"""The composition root: what the service is made of, and the application that serves it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from litestar import Litestar
from msgspec import Struct

from app import log, openapi, problems, vault
from app.auth import Authentication, Authenticator
from app.database import Database, hold, migrate
from app.requests import MAX_BODY
from app.routes import assistants, history, keys, service
from app.service import ApiKeys, Assistants
from app.vault import Vault
from app.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from litestar.types import ASGIApp

    from app.config import Config

_ROUTES = (assistants, history, keys, service)
_USAGE_SECONDS = 30.0


class Services(Struct, frozen=True):
    """What the routes work with."""

    database: Database
    vault: Vault
    writer: Writer
    authenticator: Authenticator
    assistants: Assistants
    keys: ApiKeys


def utc_now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_services(
    config: Config, clock: Callable[[], datetime] = utc_now, command: str = "backstory serve"
) -> AsyncIterator[Services]:
    """Hold the database, bring it up to date and open everything that works on it.

    Raises ``DatabaseHeld`` and ``MasterKeyError``; nothing is written before both are cleared.
    """
    path = config.database_path
    with hold(path, command):
        await asyncio.to_thread(migrate, path)
        safe = vault.open_vault(config)
        database = Database(path)
        writer = Writer(database, safe, clock)
        authenticator = Authenticator(database, safe, clock)
        writer.start()
        try:
            yield Services(
                database,
                safe,
                writer,
                authenticator,
                Assistants(database, writer),
                ApiKeys(database, writer, authenticator),
            )
        finally:
            await writer.drain()
            await database.close()


def create_app(config: Config, clock: Callable[[], datetime] = utc_now) -> ASGIApp:
    """The application: a request goes through its log, then authentication, then the routes."""
    components = tuple(struct for room in _ROUTES for struct in room.COMPONENTS)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services(config, clock) as made_of:
            app.state.services = made_of
            saving = asyncio.create_task(_save_usage(made_of))
            yield
            saving.cancel()
            with suppress(asyncio.CancelledError):
                await saving
            await made_of.authenticator.save_usage(made_of.writer)

    routes = Litestar(
        route_handlers=[handler for room in _ROUTES for handler in room.HANDLERS],
        lifespan=[lifespan],
        exception_handlers=problems.HANDLERS,
        openapi_config=openapi.config(version("backstory"), (*components, problems.Problem)),
        request_max_body_size=MAX_BODY,
        logging_config=None,
    )
    return log.RequestLog(Authentication(routes, lambda: routes.state.services.authenticator))


async def _save_usage(made_of: Services) -> None:
    while True:
        await asyncio.sleep(_USAGE_SECONDS)
        await made_of.authenticator.save_usage(made_of.writer)
