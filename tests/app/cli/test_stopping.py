"""A server that is told to stop ends soon, whatever its clients do, and says what it cut off."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.app.cli.raw_connection import PATH, Connection, with_key
from tests.conftest import Organization, Server, make_organizations
from tests.end_to_end.processes import Running, client, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEALTH = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"
_SCHEMA = b"GET /schema/openapi.json HTTP/1.1\r\nhost: here\r\n\r\n"
_JSON = "content-type: application/json"
_REQUESTS = 200
_TRAILER = b"\r\n0\r\nx-last-sequence: 16\r\n\r\n"
_LONG = 30  # seconds; far more than a server takes to stop that waits for nobody
_SHORT = 2  # seconds
_WAIT_FOR_ALL = """
from app.cli.protocol import draining
draining._STILL_SECONDS = 3600
"""


class Stopped(msgspec.Struct, frozen=True):
    """How long a server took to stop, and what it logged meanwhile."""

    seconds: float
    log: str


class Stopping:
    """A server, and the connections to it."""

    def __init__(self, running: Running, organization: Organization, closing: ExitStack) -> None:
        self._running = running
        self.organization = organization
        self._closing = closing

    def connect(self, *, receives: int | None = None) -> Connection:
        server = Server(url=self._running.url, database=self._running.database, waiting=[])
        return self._closing.enter_context(Connection(server, receives=receives))

    def idle(self) -> Connection:
        connection = self.connect()
        connection.send(_HEALTH)
        assert connection.answer().status == 200
        return connection

    def half_head(self) -> None:
        self.idle().send(_HEALTH[:20])

    def half_body(self) -> None:
        """The server asks for the body, of which nothing comes."""
        connection = self.connect()
        key = with_key(self.organization.editor)
        connection.ask(key, _JSON, "content-length: 20", "expect: 100-continue")
        assert connection.answer().status == 100

    def answered(self) -> None:
        """The answer came before the long body, of which nothing comes."""
        connection = self.connect()
        connection.ask("content-length: 900000")
        assert connection.answer().status == 401

    def unread(self) -> Connection:
        connection = self.connect(receives=4096)
        connection.send(_SCHEMA * _REQUESTS)
        assert connection.answer().status == 200  # the others are on their way
        return connection

    def unread_export(self) -> Connection:
        """An export of more than the buffers of a connection hold."""
        self._write_much()
        connection = self.connect(receives=4096)
        connection.ask(with_key(self.organization.admin), verb="GET", path="/api/v1/audit/export")
        assert connection.socket.recv(12) == b"HTTP/1.1 200"
        return connection

    def _write_much(self) -> None:
        settings = {"system_prompt": "so much " * 60_000}
        with client(self._running.url, self.organization.admin) as asking:
            for number in range(16):
                body = {"name": f"{number}", "llm_settings": settings}
                assert asking.post(PATH, json=body).status_code == 201

    def stop(self) -> Stopped:
        process, began = self._running.process, time.monotonic()
        process.terminate()
        assert process.wait(60) == 0
        return Stopped(time.monotonic() - began, self._log())

    def _log(self) -> str:
        return (self._running.database.parent / "log").read_text()


@contextmanager
def stopping(folder: Path, drain: int, preamble: str = "") -> Iterator[Stopping]:
    (organization,) = make_organizations(folder / "backstory.db", 1)
    settings = {"BACKSTORY_DRAIN_TIME": f"{drain}s", "BACKSTORY_IDLE_TIMEOUT": "60s"}
    settings |= {"BACKSTORY_LOG_FORMAT": "json"}
    with (
        serving(folder / "backstory.db", preamble=preamble, **settings) as running,
        ExitStack() as closing,
    ):
        yield Stopping(running, organization, closing)


_IDLE = ["idle", "half_head", "half_body", "answered", "unread", "unread_export"]


@pytest.mark.parametrize("connected", _IDLE)
def test_it_waits_for_no_client_that_does_nothing(tmp_path: Path, connected: str) -> None:
    with stopping(tmp_path, _LONG) as server:
        getattr(server, connected)()
        stopped = server.stop()
    assert stopped.seconds < _LONG / 3
    assert stopped.log == ""


def test_it_would_wait_for_them(tmp_path: Path) -> None:
    """The control; and what is left at the end is told in one line."""
    with stopping(tmp_path, _SHORT, preamble=_WAIT_FOR_ALL) as server:
        server.unread()
        server.half_body()
        stopped = server.stop()
    assert stopped.seconds >= _SHORT
    line = msgspec.json.decode(stopped.log)
    assert (line["event"], line["connections"], line["seconds"]) == ("drain_time_over", 2, _SHORT)


def test_a_response_is_read_to_its_end(tmp_path: Path) -> None:
    with stopping(tmp_path, _LONG) as server, ThreadPoolExecutor(1) as pool:
        reader = server.unread_export()
        stopped = pool.submit(server.stop)
        assert reader.rest().endswith(_TRAILER)
        assert stopped.result().log == ""


def test_what_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    with stopping(tmp_path, _SHORT) as server, ThreadPoolExecutor(1) as pool:
        reader = server.unread_export()
        stopped = pool.submit(server.stop)
        while not reader.is_reset(0.1):
            reader.socket.recv(4096)
    assert stopped.result().seconds >= _SHORT
    line = msgspec.json.decode(stopped.result().log)
    assert (line["event"], line["connections"]) == ("drain_time_over", 1)
