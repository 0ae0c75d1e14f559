"""Servers whose clock stands until a test moves it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from app.main import create_app
from events.tables import to_micros
from tests.app.transactions.keyed_requests import PATIENCE
from tests.conftest import Organization, Server
from tests.databases import config_of, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path


class Clock:
    """A server's clock that stands until the test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()


@contextmanager
def serving_at(
    database: Path, waiting: list[Organization], clock: Clock, **settings: Any
) -> Iterator[Server]:
    """As ``conftest.serving``, with a clock."""
    config = config_of(database, **settings)
    app: Any = create_app(config, clock, monotonic=clock.monotonic)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(url=f"http://127.0.0.1:{port}", database=database, waiting=waiting)
    finally:
        server.should_exit = True
        thread.join()


def confirm(database: Path, clock: Clock) -> None:
    """No server has seen the time pass: the operator says that it did."""
    execute(database, f"UPDATE organizations SET observed_at = {to_micros(clock.now)}")


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
