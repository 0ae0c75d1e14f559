"""The ``backstory`` command as processes of their own, run as an operator would run it.

Most of a command's time is Python importing it, so they are forked from a process that has. Only
``start`` runs the installed command itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx
from msgspec import Struct

from tests.databases import on_sqlite, text_of, variables
from tests.forking import Forked, forked
from tests.no_tls import NO_TLS

COMMAND = str(Path(sys.executable).with_name("backstory"))
FILE = "backstory.db"  # where the default configuration looks, in the folder of the command
_SECONDS = 60
PROCESSES = 3  # servers on one database
Process = Forked | subprocess.Popen[str]
# Settings of a process that is not forked, but imports everything itself.
NOT_FORKED = {"PYTHONPATH": ""}
# A server that looks after its disk again and again, so that no test waits for it.
WATCHFUL = """
from app import main
from app.storage import free_space
main._DISK_SECONDS = 0.02
free_space._SECONDS = 0
"""
EQUAL = "the views equal the log, and the log its hashes\n"  # what check says


class Running(Struct, frozen=True):
    """A server's process, the URL that it printed, and the database that it holds."""

    process: Process
    url: str
    database: Path


def client(url: str, key: str) -> httpx.Client:
    """A client that calls a server with a key."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, verify=NO_TLS)


def problem_of(answer: httpx.Response) -> str:
    """The last part of the type of an error's answer."""
    return str(answer.json()["type"]).rpartition(":")[2]


def wait_until_ready(asking: httpx.Client, status: int = 200) -> httpx.Response:
    """The answer once ``/ready`` has this status."""
    deadline = time.monotonic() + _SECONDS
    while (answer := asking.get("/ready")).status_code != status:
        assert time.monotonic() < deadline, answer.text
    return answer


def environment(**settings: str) -> dict[str, str]:
    """This environment, without what was set for another Backstory."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("BACKSTORY_")}
    return kept | settings


def _in(folder: Path, arguments: Sequence[str], settings: dict[str, str]) -> dict[str, str]:
    """The environment of a command in a folder, whose own database is its default."""
    if on_sqlite():
        return environment(**settings)
    if "--database" in arguments:
        url = arguments[arguments.index("--database") + 1]
    else:
        url = settings.get("BACKSTORY_DATABASE_URL") or text_of(folder / FILE)
    return environment(**{"BACKSTORY_DATABASE_URL": url} | variables(url) | settings)


def run(
    folder: Path, *arguments: str, preamble: str = "", stdout: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder of the test's own and a process of its own.

    ``preamble`` is Python that runs in it before: how a control switches a guard off. ``stdout``
    is a file in place of what is read.
    """
    command = [COMMAND, *arguments]
    with tempfile.TemporaryFile("r") as out, tempfile.TemporaryFile("r") as err:
        written = os.open(stdout, os.O_RDWR) if stdout else os.dup(out.fileno())
        with forked(
            command,
            folder,
            _in(folder, arguments, settings),
            preamble=preamble,
            stdout=written,
            stderr=err.fileno(),
            is_measured=True,
        ) as process:
            os.close(written)
            code = process.wait(_SECONDS)
        return subprocess.CompletedProcess(command, code, _text(out), _text(err))


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def start(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """As ``run``, of the installed command itself, imports and all."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=_in(folder, arguments, settings),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


@contextmanager
def started(
    folder: Path, *arguments: str, preamble: str = "", **settings: str
) -> Iterator[Process]:
    """Start a command whose logs go to ``log`` in the folder; it is gone after, come what may.

    It is forked, unless the settings say what Python imports.
    """
    variables = _in(folder, arguments, settings)
    with (folder / "log").open("a") as log:
        if "PYTHONPATH" not in settings:
            command = [COMMAND, *arguments]
            measured = "serve" not in arguments  # what a server runs, those of tests/app measure
            with forked(
                command,
                folder,
                variables,
                preamble=preamble,
                stderr=log.fileno(),
                is_measured=measured,
            ) as process:
                yield process
            return
        program = f"{preamble}\nfrom app.__main__ import main\nmain()"
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as own:
            try:
                yield own
            finally:
                own.kill()


@contextmanager
def serving(
    database: Path, *, url: str | None = None, preamble: str = "", **settings: str
) -> Iterator[Running]:
    """Serve a database on a free port. Unlike the fixture's, this server may be killed.

    ``url`` is another way to the same database.
    """
    direct = text_of(database)
    arguments = ("serve", "--port", "0", "--database", url or direct)
    settings = {"BACKSTORY_LOG_LEVEL": "warning"} | variables(direct) | settings
    with started(database.parent, *arguments, preamble=preamble, **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), (database.parent / "log").read_text()
        yield Running(process, url, database)


class Processes:
    """Servers on one database, each of which can be killed and started anew."""

    def __init__(
        self, database: Path, count: int, preamble: str = "", url: str | None = None
    ) -> None:
        self._database = database
        self._url = url
        self._preamble = preamble
        self._all = ExitStack()
        self.running: list[Running] = [self._start() for _ in range(count)]
        self.kills = 0

    def _start(self) -> Running:
        return self._all.enter_context(
            serving(self._database, url=self._url, preamble=self._preamble)
        )

    def kill_and_start_anew(self, number: int) -> None:
        self.running[number].process.send_signal(signal.SIGKILL)
        self.running[number].process.wait(20)
        self.kills += 1
        self.running[number] = self._start()

    def close(self) -> None:
        self._all.close()


@contextmanager
def processes(
    database: Path, count: int = PROCESSES, preamble: str = "", url: str | None = None
) -> Iterator[Processes]:
    made = Processes(database, count, preamble, url)
    try:
        yield made
    finally:
        made.close()
