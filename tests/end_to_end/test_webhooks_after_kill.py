"""Kill -9 of a server that delivers webhooks: another process goes on, and no event is lost."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.app.standing_clock import wait_until
from tests.conftest import ASSISTANTS, make_organizations
from tests.databases import Kind, chosen
from tests.end_to_end.processes import Running, client, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WEBHOOKS = "/api/v1/webhooks"
_EVENTS = 30
# Another process takes over soon.
_SOON = """
from datetime import timedelta
from app.webhooks import delivering, progress
delivering.PAUSE = 0.05
progress.OWNED = timedelta(seconds=3)
"""
# The control: the cursor is saved before the messages are sent.
_FORGETFUL = """
from app.webhooks import delivering
_deliver = delivering.Deliverer._deliver_log
async def forget(self, claimed, end):
    await self._save(claimed.due, claimed.due.cursor, claimed.due.last, 0, [])
    await _deliver(self, claimed, end)
delivering.Deliverer._deliver_log = forget
"""


class _Receiver(ThreadingHTTPServer):
    """Takes messages, and holds the answer to one of them back until it is let go."""

    def __init__(self, held: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[int] = []
        self.held = held  # the number of the message
        self.is_holding = threading.Event()
        self.let_go = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if len(self.server.got) == self.server.held and not self.server.is_holding.is_set():
            self.server.is_holding.set()
            self.server.let_go.wait(60)
            return  # the answer never came
        self.server.got.append(int(body["sequence"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _receiving(held: int) -> Iterator[_Receiver]:
    with _Receiver(held) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.let_go.set()
            receiver.shutdown()
            thread.join()


def _missing(database: Path, count: int, preamble: str) -> set[int]:
    """The events that never came, though the process that delivered them was killed."""
    (organization,) = make_organizations(database, 1)
    with ExitStack() as stack:
        receiver = stack.enter_context(_receiving(held=10))

        def start() -> Running:
            running = serving(database, preamble=preamble, BACKSTORY_WEBHOOK_PRIVATE="allow")
            return stack.enter_context(running)

        first = start()
        with client(first.url, organization.admin) as admin:
            hook = {"url": f"http://127.0.0.1:{receiver.server_port}/"}
            begins = admin.post(_WEBHOOKS, json=hook).json()["webhook"]["delivered"] + 1
            for _ in range(_EVENTS):
                assert admin.post(ASSISTANTS, json={"name": "x"}).status_code == 201
        others = [start() for _ in range(count - 1)]
        assert receiver.is_holding.wait(30)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(20)
        receiver.let_go.set()
        expected = set(range(begins, begins + _EVENTS))
        with client((others or [start()])[0].url, organization.admin) as admin:
            wait_until(lambda: admin.get(_WEBHOOKS).json()[0]["delivered"] >= max(expected))
        return expected - set(receiver.got)


@pytest.mark.sqlite
@pytest.mark.parametrize(("kind", "count"), [("sqlite", 1), ("postgresql", 2)])
def test_no_event_is_lost_when_the_process_that_delivers_is_killed(
    tmp_path: Path, kind: Kind, count: int
) -> None:
    with chosen(kind):
        assert not _missing(tmp_path / "backstory.db", count, _SOON)


@pytest.mark.sqlite
def test_a_cursor_that_is_saved_before_the_messages_are_sent_would_lose_some(
    tmp_path: Path,
) -> None:
    assert _missing(tmp_path / "backstory.db", 1, _SOON + _FORGETFUL)
