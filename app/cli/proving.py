"""Proves the logs against their hashes, in a process beside this one where a core is free.

Folding the views takes about as long, and neither needs the other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.storage.engines import engines
from events import log_head, log_proofs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    Unproven = dict[int, int | None]
    Progress = Callable[[int], None]
    Prove = Callable[[sa.Connection, Progress], Unproven]

_MIN_EVENTS = 20_000  # starting a process takes as long as proving as many
_REPORT_EVERY = 20_000  # events; all reports fit into the pipe, which nobody reads at first


def prove(connection: sa.Connection, progress: Progress) -> Unproven:
    """By organization, the first sequence of its log that is not what was hashed; None for none.

    ``progress`` is called with numbers of events that are proven.
    """
    return {
        organization_id: log_proofs.first_unproven(connection, organization_id, progress)
        for organization_id in log_head.organization_ids(connection)
    }


@contextmanager
def beside(url: sa.URL, events: int) -> Iterator[Prove]:
    """Begin to prove a database of about so many events, in a second process if that is worth it.

    Yields ``prove``, or a function that waits for what the other process found. That one reads a
    snapshot of its own. If it ends without a result, this process proves.
    """
    if events < _MIN_EVENTS or _cores() < 2:  # noqa: PLR2004  # this process has one
        yield prove
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would share the open connections
    receiver, sender = spawn.Pipe(duplex=False)
    text = url.render_as_string(hide_password=False)
    process = spawn.Process(target=_send, args=(text, sender), daemon=True)
    with suppress(OSError):  # no more processes are allowed: nothing will come
        process.start()
    sender.close()
    try:
        yield partial(_receive, receiver)
    finally:
        receiver.close()
        if process.pid is not None:
            process.terminate()
            process.join()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _send(url: str, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the command answers for both
    waiting = 0

    def progress(count: int) -> None:
        nonlocal waiting
        waiting += count
        if waiting >= _REPORT_EVERY:
            sender.send(waiting)
            waiting = 0

    # Without a result the command proves again: then it meets the error, and reports it.
    with suppress(Exception):
        engine = engines(sa.make_url(url)).snapshots()
        with engine.connect() as connection:
            unproven = prove(connection, progress)
        sender.send(waiting)
        sender.send(unproven)


def _receive(receiver: Connection, connection: sa.Connection, progress: Progress) -> Unproven:
    done = 0
    with suppress(EOFError, OSError):  # also where it ended within a message
        while isinstance(received := receiver.recv(), int):
            progress(received)
            done += received
        unproven: Unproven = received
        return unproven
    progress(-done)
    return prove(connection, progress)
