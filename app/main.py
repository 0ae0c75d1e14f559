"""The composition root: the ASGI application, and the background tasks of its process."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from msgspec import Struct

from app import allocator, log
from app.accounts.sessions import Codes
from app.api import access, exception_handlers, methods
from app.api.middleware import head, request_log
from app.api.middleware.authentication import Authentication
from app.api.middleware.cache_control import CacheControl
from app.api.middleware.fast_path import FastPath
from app.api.middleware.rate_limits import RateLimiting
from app.api.openapi import document
from app.api.request import MAX_BODY, ApiRequest
from app.api.router import ROUTERS
from app.assistants import purging
from app.audit import checkpoints
from app.calls import purging as receipts
from app.config import Config, read_config
from app.console.problems import on_no_route
from app.console.rendering import TEMPLATES
from app.console.router import ROUTER
from app.metrics import catalog, snapshots
from app.services import Services, open_services, utc_now
from app.tracing import hooks
from app.tracing.hooks import Tracing
from app.transactions.clock import ForwardClock
from app.webhooks import delivering
from app.webhooks.delivering import Deliverer
from app.webhooks.sending import Sender
from events import log_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from litestar.config.app import AppConfig
    from litestar.plugins import PluginProtocol
    from litestar.types import ASGIApp

_log = structlog.get_logger(__name__)


class Chore(Struct, frozen=True):
    """What is repeated while the process runs, with a pause in seconds."""

    name: str
    work: Callable[[], Awaitable[object]]
    pause: float
    ends: bool = False  # whether it is done once more at the end


_USAGE_SECONDS = 30.0
_ENDING_SECONDS = 5.0
_PURGE_SECONDS = 600.0  # purging also saves the observed time
_DISK_SECONDS = 1.0  # between two attempts after a failed write, and two checkpoints of the log
_SCRUB_SECONDS = 15.0  # a reader may have kept destroyed bytes in the files: try again
_SWITCH_SECONDS = 0.0005
_CHECKPOINT_SECONDS = (1.0, 60.0)  # bounds of the pause between looks for a due checkpoint


class _Application(Litestar):
    """The framework's application, with no plugin of its own choice.

    By default it imports those for pydantic and attrs wherever these are installed, which takes as
    long as all of ``app.api``. Structs need none. Nor does it import OpenTelemetry wherever that is
    installed: ``app.tracing`` does where traces are asked for.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins

    @staticmethod
    def _patch_opentelemetry_middleware(config: AppConfig) -> AppConfig:
        return config


class _Running:
    """The services of an application that has started.

    Its state has them, too, but each look-up there takes longer than most of a middleware's work.
    """

    services: Services


def create_app(
    config: Config,
    clock: Callable[[], datetime] = utc_now,
    codes: Codes | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    metrics_folder: str | None = None,
) -> ASGIApp:
    """The application: a request passes the log, authentication, limits, fast path and routes.

    ``codes`` are one-time codes that sign in to the console. In ``metrics_folder`` the metrics of
    this process are written, for another one that serves them.
    """
    running = _Running()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services(config, clock, monotonic=monotonic) as services:
            app.state.services = running.services = services
            stopping = asyncio.Event()
            deliverer = _deliverer(services, config)
            tasks = [
                asyncio.create_task(_repeat(chore, stopping))
                for chore in _background_work(services, config, deliverer, metrics_folder)
            ]
            yield
            await deliverer.close()
            await _end(tasks, stopping)

    routes = _Application(
        route_handlers=[*ROUTERS, ROUTER],
        lifespan=[lifespan],
        exception_handlers={
            **exception_handlers.HANDLERS,
            NotFoundException: on_no_route,
            MethodNotAllowedException: on_no_route,
        },
        openapi_config=document.config(version("backstory")),
        request_class=ApiRequest,
        request_max_body_size=MAX_BODY,
        before_request=access.before_request,
        template_config=TEMPLATES,
        state=State({"codes": codes or Codes(ForwardClock(clock, monotonic))}),
        logging_config=None,
    )
    access.check_routes(routes)
    methods.check_routes(routes)
    fast = FastPath(routes, lambda: running.services.views)
    limited = RateLimiting(fast, lambda: running.services.rate_limits)
    authenticated = Authentication(limited, lambda: running.services.logins)
    logged = CacheControl(request_log.RequestLog(authenticated))
    return Tracing.hooks.around(head.Head(logged))


def create_configured_app() -> ASGIApp:
    """The application of one of several worker processes, which reads its own configuration."""
    gc.disable()  # until ``spare_the_collector``
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    allocator.return_large_blocks()
    hooks.start(os.environ)
    config = read_config(os.environ)
    log.configure(config)
    app = create_app(config, metrics_folder=os.environ.get(snapshots.FOLDER))
    spare_the_collector()
    favour_the_loop()
    return app


def _end_with_the_supervisor() -> None:
    """Drain and end once the supervisor is gone, however it ended.

    A worker on its own would keep the port, and nobody would restart or stop it.
    """
    if supervisor := multiprocessing.parent_process():
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


def spare_the_collector() -> None:
    """Exempt what lives as long as the process from garbage collection, and collect less often.

    The cyclic collector took most of the time of the slowest responses, and requests leave few
    cycles. It is off during the start, which leaves so few that looking for them is not worth it.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 100)


def favour_the_loop() -> None:
    """Let a thread that reads or writes give the interpreter up sooner than after 5 milliseconds.

    A request takes it several times, and waited so long each time while such threads ran.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def _deliverer(services: Services, config: Config) -> Deliverer:
    return Deliverer(
        services.database,
        services.writer,
        Sender(allow_private=services.allows_private_webhooks),
        services.clock,
        most=config.webhook_concurrency,
        console=config.public_url,
    )


def _background_work(
    services: Services, config: Config, deliverer: Deliverer, metrics_folder: str | None
) -> list[Chore]:
    every = config.between_checkpoints
    least, most = _CHECKPOINT_SECONDS
    save_usage = partial(services.authenticator.save_usage, services.writer)
    record_checkpoints = partial(_record_checkpoints, services, every, config.checkpoint_dir)
    chores = [
        Chore("resume_writing", services.database.resume, _DISK_SECONDS),
        Chore("checkpoint_wal", services.database.checkpoint, _DISK_SECONDS),
        Chore("settle_failed_logins", services.failed_logins.settle, _USAGE_SECONDS),
        Chore("save_key_usage", save_usage, _USAGE_SECONDS, ends=True),
        Chore("purge", partial(_purge, services, config), _PURGE_SECONDS),
        Chore("scrub", partial(purging.scrub, services.database), _SCRUB_SECONDS),
        Chore("webhooks", deliverer.look, delivering.PAUSE),
        Chore("audit_checkpoint", record_checkpoints, max(least, min(every.total_seconds(), most))),
    ]
    if metrics_folder is not None:
        publish = snapshots.Publisher(metrics_folder).publish
        chores.append(Chore("publish_metrics", publish, snapshots.PUBLISH_SECONDS, ends=True))
    return chores


async def _purge(services: Services, config: Config) -> None:
    organizations = await services.database.read(log_head.organization_ids)
    now = services.clock()
    await purging.purge_all(services.database, services.writer, organizations, config.grace, now)
    await services.idempotency.remove_expired(organizations)
    await receipts.remove_expired(services.writer, organizations, config.receipt_lifetime)


async def _record_checkpoints(services: Services, every: timedelta, folder: str | None) -> None:
    now = services.clock()
    await checkpoints.record_due(
        services.database, services.writer, services.signer, now, every, folder
    )


async def _repeat(chore: Chore, stopping: asyncio.Event) -> None:
    catalog.TASK_FAILURES.of(chore.name)  # shown as 0 until one fails
    while not stopping.is_set():
        await _attempt(chore)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), chore.pause)
    if chore.ends:
        await _attempt(chore)


async def _end(tasks: list[asyncio.Task[None]], stopping: asyncio.Event) -> None:
    """Let each task finish its work: a cancelled one may keep a connection that others need."""
    stopping.set()
    _, pending = await asyncio.wait(tasks, timeout=_ENDING_SECONDS)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def _attempt(chore: Chore) -> None:
    """Run a task once; a failure is logged and counted, and it is tried again the next time."""
    try:
        await chore.work()
    except Exception as error:  # noqa: BLE001  # see above
        catalog.TASK_FAILURES.add(chore.name)
        _log.warning("chore_failed", task=chore.name, error=f"{type(error).__name__}: {error}")
