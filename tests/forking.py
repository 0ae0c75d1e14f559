"""Processes of the ``backstory`` command without the time that Python takes to import it.

One process for each worker of the tests imports the command, and waits. It forks a child for each
run, so a server answers in a fifth of the time. The child has an environment, a folder and streams
of its own, as a new process would have.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import IO, Any

import coverage

ROOT = Path(__file__).parent.parent

# What waits. The first application imports and caches most of what any other needs. Objects that
# exist before a fork are frozen: the collector leaves their pages shared.
_WAITING = """
import gc, json, os, select, signal, socket, sys
import anyio._backends._asyncio, sqlalchemy.dialects.sqlite.aiosqlite, uvicorn.lifespan.on
import uvicorn.loops.uvloop
import app.cli.main
from app.config import Config
from app.main import create_app
from tests.databases import text_of, variables
from tests.forking import be_the_command

requests = socket.socket(fileno=0)
woken, waker = os.pipe()
os.set_blocking(woken, False)
os.set_blocking(waker, False)
signal.signal(signal.SIGCHLD, lambda *_: None)
signal.set_wakeup_fd(waker)
ends = {}
create_app(Config())
gc.collect()
gc.freeze()
while True:
    ready, _, _ = select.select([requests, woken], [], [])
    if woken in ready:
        os.read(woken, 4096)
        while ends and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with open(ends.pop(ended[0]), "w") as end:
                end.write(str(os.waitstatus_to_exitcode(ended[1])))
    if requests in ready:
        message, files, _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not message:
            sys.exit()
        if not (child := os.fork()):
            break
        ends[child] = files.pop()
        os.write(ends[child], f"{child} ".encode())
        for file in files:
            os.close(file)
signal.set_wakeup_fd(-1)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for file in (woken, waker, files.pop(), *ends.values()):
    os.close(file)
requests.detach()
del Config, create_app
exec(be_the_command(json.loads(message), files))
app.cli.main.main()
"""


def be_the_command(request: dict[str, Any], streams: list[int]) -> str:
    """Turn a forked process into the one that was asked for; what is left to run is returned."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = request["command"]
    if measured := request["measured"]:
        _measure(measured)
    preamble: str = request["preamble"]
    return preamble


def _measure(file: str) -> None:
    """Add what runs to the coverage of the tests."""
    measuring = coverage.Coverage(file, data_suffix=True, config_file=str(ROOT / "pyproject.toml"))
    # It was imported before: how modules are made, the tests measure.
    measuring.set_option("run:disable_warnings", ["module-not-measured", "no-data-collected"])
    measuring.start()

    def save() -> None:
        measuring.stop()
        measuring.save()

    atexit.register(save)


class Forked:
    """A process of the command, with as much of ``subprocess.Popen`` as the tests use."""

    def __init__(self, ends: int, stdout: IO[str]) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._ends = ends
        self.pid = int(self._read_word())

    def _read_word(self) -> str:
        word = b""
        while (byte := os.read(self._ends, 1)).strip():
            word += byte
        return word.decode()

    def poll(self) -> int | None:
        """The exit code, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once the process has ended; raises ``subprocess.TimeoutExpired``."""
        if self.returncode is None:
            if not select([self._ends], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("backstory", timeout or 0)
            self.returncode = int(self._read_word())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended, and its exit code is still on the way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


class _Forks:
    """The process that has imported the command."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # it ends when its socket is closed
                [sys.executable, "-c", _WAITING],
                cwd=ROOT,
                env={
                    name: v for name, v in os.environ.items() if not name.startswith("BACKSTORY_")
                },
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,  # as the children's: nothing to seek in
                start_new_session=True,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """Send what ``be_the_command`` takes, and the child's stdin, stdout and stderr.

        Returns what the child's number and exit code can be read from.
        """
        ends, theirs = os.pipe()
        message = json.dumps(request).encode()
        socket.send_fds(self._requests, [message], [*streams, theirs])
        os.close(theirs)
        return ends


@functools.cache
def _forks() -> _Forks:
    return _Forks()


@contextmanager
def forked(
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    *,
    preamble: str = "",
    stdout: int | None = None,
    stderr: int | None = None,
    is_measured: bool = False,
) -> Iterator[Forked]:
    """A process of the command; it is gone after, come what may.

    ``preamble`` is Python that runs in it before. Without ``stdout`` it is a pipe to read from;
    ``stderr`` is this process's. A process that ``is_measured`` adds to the tests' coverage.
    """
    measuring = coverage.Coverage.current() if is_measured else None
    request = {
        "command": command,
        "folder": str(folder),
        "environment": environment,
        "preamble": preamble,
        "measured": measuring and str(ROOT / measuring.config.data_file),
    }
    reading, writing = os.pipe()
    streams = [writing if stdout is None else stdout, 2 if stderr is None else stderr]
    with open(reading) as output, open(os.devnull) as nothing:  # noqa: PTH123  # a descriptor
        ends = _forks().fork(request, [nothing.fileno(), *streams])
        os.close(writing)
        process = Forked(ends, output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            os.close(ends)
