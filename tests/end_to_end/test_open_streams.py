"""A server that stops ends its open streams at once, also those of clients that read nothing."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.app.streams import STREAM, open_stream
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.end_to_end.processes import client, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.processes import Running

STREAMS = 64
_AT_MOST = 2.0  # seconds
_LONG = 200_000  # characters of a prompt
_CHANGES = 40  # so that all of them are more than the systems between two processes hold
# The control: streams end only when the drain time does.
UNENDED = """
from app.cli.protocol.endless import EndlessCycle
EndlessCycle.end = lambda self: None
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


def unread_stream(url: str, key: str) -> socket.socket:
    """A client that asks for a long log and reads nothing of it."""
    parts = urlsplit(url)
    unread = socket.create_connection((parts.hostname, parts.port))
    head = (
        f"GET {STREAM}?after=0&include=changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}"
    )
    unread.sendall(f"{head}\r\n\r\n".encode())
    return unread


def stop(running: Running) -> float:
    """Seconds until a server that is told to stop has ended."""
    began = time.monotonic()
    running.process.terminate()
    assert running.process.wait(20) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("preamble", ["", UNENDED], ids=["", "control"])
def test_a_server_with_open_streams_stops_at_once(
    database: Path, organization: Organization, preamble: str
) -> None:
    with ExitStack() as opened:
        running = opened.enter_context(serving(database, preamble=preamble))
        viewer = opened.enter_context(client(running.url, organization.viewer))
        lines: list[Iterator[str]] = []
        for _ in range(STREAMS):
            _, one = opened.enter_context(open_stream(viewer))
            assert next(one) == "retry: 3000"
            lines.append(one)
        seconds = stop(running)
        if preamble:
            assert seconds > _AT_MOST
            return
        assert seconds < _AT_MOST
        # Each of them ended whole, so that its client connects again.
        assert [list(one) for one in lines] == [[]] * STREAMS


@pytest.mark.parametrize("preamble", ["", UNENDED], ids=["", "control"])
def test_a_client_that_does_not_read_does_not_hold_the_server_up(
    database: Path, organization: Organization, preamble: str
) -> None:
    with serving(database, preamble=preamble) as running:
        with client(running.url, organization.editor) as editor:
            editor.post(ASSISTANTS, json={"name": "Front desk"})
            for n in range(_CHANGES):
                prompt = {"llm_settings": {"system_prompt": f"{n}" + "x" * _LONG}}
                assert editor.patch(f"{ASSISTANTS}/1", json=prompt).is_success
        with unread_stream(running.url, organization.viewer) as unread:
            assert unread.recv(1) == b"H"
            seconds = stop(running)
    assert (seconds < _AT_MOST) == (not preamble)
