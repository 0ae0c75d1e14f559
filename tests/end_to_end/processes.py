"""The ``backstory`` command as processes of their own, run as an operator would run it.

Most of a command's time is Python importing it: so a process that has imported it waits, and
``run`` lets it fork one that runs the command. ``start`` runs the installed command itself.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from tests.databases import on_sqlite, text_of, variables
from tests.no_tls import NO_TLS

COMMAND = str(Path(sys.executable).with_name("backstory"))
FILE = "backstory.db"  # where the default configuration looks, in the folder of the command
_SECONDS = 60
# What is frozen is not touched by the collector, so a fork need not copy it when it ends.
_WAITING = """
import gc, json, os, sys
import app.main, app.cli.main
from tests.databases import text_of, variables
gc.collect()
gc.freeze()
for line in sys.stdin:
    if not (child := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
sys.argv, folder, variables, preamble, *files = json.loads(line)
os.environ.clear()
os.environ.update(variables)
os.chdir(folder)
for number, file in enumerate(files):
    os.dup2(os.open(file, os.O_RDWR), number)
exec(preamble)
app.cli.main.main()
"""
EQUAL = "the views equal the log, and the log its hashes\n"  # what check says


class Running(Struct, frozen=True):
    """A server's process, the URL that it printed, and the database that it holds."""

    process: subprocess.Popen[str]
    url: str
    database: Path


def client(url: str, key: str) -> httpx.Client:
    """A client that calls a server with a key."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, verify=NO_TLS)


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


class _Waiting:
    """A process that has imported the command, and forks for each run of it."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WAITING],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, to kill with what it forked
        )
        atexit.register(self._process.communicate)

    def run(self, *wish: Any) -> int:
        """The exit code of a run."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._one_at_a_time:
            print(json.dumps(wish), file=stdin, flush=True)
            if not select.select([stdout], [], [], _SECONDS)[0]:
                os.killpg(self._process.pid, signal.SIGKILL)
                _waiting.cache_clear()
                raise subprocess.TimeoutExpired(wish[0], _SECONDS)
            return int(stdout.readline())


@functools.cache
def _waiting() -> _Waiting:
    return _Waiting()


def run(
    folder: Path, *arguments: str, preamble: str = "", stdout: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder of the test's own and a process of its own.

    ``preamble`` is Python that runs in it before: how a control switches a guard off. ``stdout``
    is a file in place of what is read.
    """
    command = [COMMAND, *arguments]
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        files = (os.devnull, stdout or out.name, err.name)
        code = _waiting().run(
            command, str(folder), _in(folder, arguments, settings), preamble, *files
        )
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


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
) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose logs go to ``log`` in the folder; it is gone after, come what may."""
    patched = [sys.executable, "-c", f"{preamble}\nfrom app.cli.main import main\nmain()"]
    with (
        (folder / "log").open("a") as log,
        subprocess.Popen(
            [*(patched if preamble else [COMMAND]), *arguments],
            cwd=folder,
            env=_in(folder, arguments, settings),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def serving(database: Path, *, preamble: str = "", **settings: str) -> Iterator[Running]:
    """Serve a database on a free port. Unlike the fixture's, this server may be killed."""
    arguments = ("serve", "--port", "0", "--database", text_of(database))
    settings = {"BACKSTORY_LOG_LEVEL": "warning"} | settings
    with started(database.parent, *arguments, preamble=preamble, **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), (database.parent / "log").read_text()
        yield Running(process, url, database)
