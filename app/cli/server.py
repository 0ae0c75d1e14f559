"""The HTTP server: uvicorn in this process, or in several that share a socket."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app import allocator, log
from app.audit import signing
from app.cli import context, terminal
from app.cli.protocol.draining import limited_protocol
from app.cli.protocol.limits import Limits
from app.config import Config, as_variables
from app.main import create_app, favour_the_loop, spare_the_collector
from app.metrics import snapshots
from app.storage.engines import engines
from app.storage.schema import prepare
from app.tracing import hooks
from app.tracing.hooks import TracingRefused
from app.vault.keys import open_vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from litestar.types import ASGIApp

    from app.accounts.sessions import Codes
    from app.metrics.snapshots import Snapshot

_log = structlog.get_logger(__name__)

_GRACE_SECONDS = 2  # of uvicorn, after the drain time
# After these the supervisor kills a worker that does not answer. Importing everything can take long
# on a busy machine, and a worker that is killed for that never starts. The supervisor does nothing
# else meanwhile: more would delay a stop, and the successor of one that dies while it is asked.
_SILENT_SECONDS = 15
_OTHER_FILES = 256  # of the database, the log and libraries
_CONNECT_SECONDS = 0.05  # between two attempts to connect to the workers


def run(
    config: Config, ready: Callable[[str], None] | None = None, codes: Codes | None = None
) -> None:
    """Serve until a signal; ``ready`` is called with the URL once the server listens.

    ``codes`` sign in to the console once each.
    """
    gc.disable()  # until the server listens, and what lives as long as it is frozen
    allocator.return_large_blocks()
    _trace(hooks.start)
    _check(config)
    settings = _settings(config, create_app(config, codes=codes))
    _serve_metrics(config, lambda: [snapshots.snapshot()])
    server = _Server(settings, ready)
    # The server drains on these signals, then raises them again: they must not end this process
    # before it has cleaned up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit:  # the server has logged why, and has exit codes of its own
        sys.exit(1)
    if not server.started:
        sys.exit(1)


def run_workers(config: Config, count: int) -> None:
    """Serve by several processes, which share a socket and are restarted when they die."""
    _trace(hooks.check)
    _check(config)
    os.environ |= as_variables(config)  # each worker reads its own configuration
    settings = _settings(config, "app.main:create_configured_app", factory=True, workers=count)
    listening = settings.bind_socket()
    threading.Thread(target=_say_when_it_listens, args=(listening,), daemon=True).start()
    supervisor = Multiprocess(settings, [listening])
    with _metrics_of_workers(config):
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(1)  # one could not start, so all were stopped


@contextmanager
def _metrics_of_workers(config: Config) -> Iterator[None]:
    """Serve the metrics of all workers together; each finds the folder for its own."""
    if config.metrics_address is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="backstory-metrics-") as folder:
        os.environ[snapshots.FOLDER] = folder
        _serve_metrics(config, partial(snapshots.published, folder))
        yield


def _serve_metrics(config: Config, read: Callable[[], list[Snapshot]]) -> None:
    if config.metrics_address is None:
        return
    from app.metrics import exposition  # noqa: PLC0415  # an extra, which takes long to import

    host, port = config.metrics_address
    port = exposition.serve(host, port, read)
    _log.info("metrics_served", host=host, port=port)


def _say_when_it_listens(bound: socket.socket) -> None:
    """Print the URL once the first worker listens; before, no client can connect."""
    while bound.fileno() >= 0:
        with socket.socket(bound.family) as client:
            if client.connect_ex(bound.getsockname()) == 0:
                terminal.say(_url(bound))
                return
        time.sleep(_CONNECT_SECONDS)


class _Server(uvicorn.Server):
    """Calls ``ready`` with its URL once it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        spare_the_collector()
        favour_the_loop()
        if self._ready is not None and self.started:
            self._ready(_url(self.servers[0].sockets[0]))


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _trace(begin: Callable[[Mapping[str, str]], None]) -> None:
    try:
        begin(os.environ)
    except TracingRefused as error:
        terminal.fail(str(error), 2)


def _check(config: Config) -> None:
    """Find what would prevent the start while the error can still be reported in one line."""
    log.configure(config)
    _allow_files(config)
    for host, port in filter(None, ((config.host, config.port), config.metrics_address)):
        try:
            _try_address(host, port)
        except OSError as error:
            terminal.fail(f"{host}, port {port}: {error.strerror}", 1)
    database = engines(config.url)
    with context.reporting_database_errors(config), database.hold("backstory serve", make=True):
        prepare(config.url)
        open_vault(config)
        signing.open_signer(config)


def _try_address(host: str, port: int) -> None:
    """Raise ``OSError`` where no process can listen on the address."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)


def _settings(config: Config, app: ASGIApp | str, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        http=limited_protocol(_limits(config)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=config.idle_seconds,
        proxy_headers=bool(config.proxies),  # by default uvicorn believes any process of this host
        forwarded_allow_ips=config.proxies,
        timeout_graceful_shutdown=config.drain_seconds + _GRACE_SECONDS,
        timeout_worker_healthcheck=_SILENT_SECONDS,
        lifespan="on",
        **more,
    )


def _limits(config: Config) -> Limits:
    return Limits(
        url=config.max_url,
        header_size=config.max_header_size,
        headers=config.max_headers,
        connections=config.max_connections,
        header_seconds=config.header_seconds,
        body_seconds=config.body_seconds,
        send_seconds=config.send_seconds,
        speed=config.min_speed,
        body_memory=config.body_bytes,
        drain_seconds=config.drain_seconds,
    )


def _allow_files(config: Config) -> None:
    """Raise the process's limit of open files to what the limit of connections needs.

    Connections that are refused are open for a moment, too.
    """
    needed = 2 * config.max_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < needed:
        _log.warning("few_files", allowed=most, needed=needed)
