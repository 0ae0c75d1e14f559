"""The composition root: what the service is made of, and the application that serves it."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import MethodNotAllowedException, NotFoundException

from app import log
from app.accounts.sessions import Codes
from app.api import access, methods, openapi, problems
from app.api.caching import CacheControl
from app.api.middleware import request_log
from app.api.middleware.authentication import Authentication
from app.api.middleware.fast_path import Shortcut
from app.api.request import MAX_BODY
from app.api.routes import (
    activity,
    api_keys,
    assistants,
    audit,
    audit_export,
    change_sets,
    changes,
    health,
    history,
    policy,
    reversals,
    secrets,
    versions,
)
from app.config import Config, read_config
from app.console.rendering import TEMPLATES, on_no_route
from app.console.router import ROUTER
from app.services import Services, open_services, utc_now
from app.transactions.clock import ForwardClock
from events.store import organization_ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from litestar.types import ASGIApp

_ROUTES = (
    assistants, activity, changes, history, versions, reversals, change_sets, policy, audit,
    audit_export, secrets, api_keys, health,
)  # fmt: skip
_log = structlog.get_logger(__name__)

_USAGE_SECONDS = 30.0
_ENDING_SECONDS = 5.0
_PURGE_SECONDS = 600.0  # as often, the time that was observed is kept
_SCRUB_SECONDS = 15.0  # until what a reader kept in the files is tried again
_CHECKPOINT_SECONDS = (1.0, 60.0)  # how often, at most and at least, one looks what is due


def create_app(
    config: Config,
    clock: Callable[[], datetime] = utc_now,
    codes: Codes | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """The application: a request goes through its log, authentication, the shortcut, the routes.

    ``codes`` sign in to the console once each.
    """
    components = tuple(struct for room in _ROUTES for struct in room.COMPONENTS)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services(config, clock, monotonic=monotonic) as made_of:
            app.state.services = made_of
            save_usage = partial(made_of.authenticator.save_usage, made_of.writer)
            purge = partial(_purge, made_of, config.grace)
            every = config.between_checkpoints
            keep = partial(made_of.audit.keep_checkpoints, every, config.checkpoint_dir)
            least, most = _CHECKPOINT_SECONDS
            looks = max(least, min(every.total_seconds(), most))
            settle = made_of.refusals.settle
            stopping = asyncio.Event()
            chores = [
                asyncio.create_task(_repeat(settle, _USAGE_SECONDS, stopping)),
                asyncio.create_task(_repeat(save_usage, _USAGE_SECONDS, stopping)),
                asyncio.create_task(_repeat(purge, _PURGE_SECONDS, stopping)),
                asyncio.create_task(_repeat(made_of.secrets.scrub, _SCRUB_SECONDS, stopping)),
                asyncio.create_task(_repeat(keep, looks, stopping)),
            ]
            yield
            await _end(chores, stopping)
            await _attempt(save_usage)

    routes = Litestar(
        route_handlers=[*(handler for room in _ROUTES for handler in room.HANDLERS), ROUTER],
        lifespan=[lifespan],
        exception_handlers={
            **problems.HANDLERS,
            NotFoundException: on_no_route,
            MethodNotAllowedException: on_no_route,
        },
        openapi_config=openapi.config(version("backstory"), (*components, problems.Problem)),
        request_max_body_size=MAX_BODY,
        before_request=access.before_request,
        template_config=TEMPLATES,
        state=State({"codes": codes or Codes(ForwardClock(clock, monotonic))}),
        logging_config=None,
    )
    access.check_routes(routes)
    methods.check_routes(routes)
    authenticated = Authentication(
        Shortcut(routes, lambda: routes.state.services.views),
        lambda: routes.state.services.authenticator,
        lambda: routes.state.services.refusals,
    )
    return methods.Heads(CacheControl(request_log.RequestLog(authenticated)))


def create_configured_app() -> ASGIApp:
    """The application of a process that reads its own configuration: one of several workers."""
    config = read_config(os.environ)
    log.configure(config)
    app = create_app(config)
    spare_the_collector()
    return app


def spare_the_collector() -> None:
    """Leave what was made for good alone, and look less often at what is not.

    Most of the longest answers' time was the cyclic collector's, and requests leave few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _purge(made_of: Services, grace: timedelta) -> None:
    organizations = await made_of.database.read(organization_ids)
    await made_of.secrets.purge(organizations, grace)
    await made_of.idempotency.forget(organizations)


async def _repeat(
    chore: Callable[[], Awaitable[object]], seconds: float, stopping: asyncio.Event
) -> None:
    while not stopping.is_set():
        await _attempt(chore)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), seconds)


async def _end(chores: list[asyncio.Task[None]], stopping: asyncio.Event) -> None:
    """Let each finish what it is at: one that is cut off may keep a connection that others need."""
    stopping.set()
    _, pending = await asyncio.wait(chores, timeout=_ENDING_SECONDS)
    for chore in pending:
        chore.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def _attempt(chore: Callable[[], Awaitable[object]]) -> None:
    """Do what can wait until the next time if it fails now."""
    try:
        await chore()
    except Exception as error:  # noqa: BLE001  # said, and tried again
        _log.warning("chore_failed", error=f"{type(error).__name__}: {error}")
