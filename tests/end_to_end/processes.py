"""The ``backstory`` command as processes of their own, run as an operator would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from msgspec import Struct

COMMAND = str(Path(sys.executable).with_name("backstory"))
_SECONDS = 60
EQUAL = "the views equal the log, and the log its hashes\n"  # what check says


class Running(Struct, frozen=True):
    """A server's process, the URL that it printed, and the database that it holds."""

    process: subprocess.Popen[str]
    url: str
    database: Path


def url_of(database: Path) -> str:
    return f"sqlite+aiosqlite:///{database}"


def client(url: str, key: str) -> httpx.Client:
    """A client that calls a server with a key."""
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60)


def environment(**settings: str) -> dict[str, str]:
    """This environment, without what was set for another Backstory."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("BACKSTORY_")}
    return kept | settings


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder of the test's own."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


@contextmanager
def started(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose logs go to ``log`` in the folder; it is gone after, come what may."""
    with (
        (folder / "log").open("a") as log,
        subprocess.Popen(
            [COMMAND, *arguments],
            cwd=folder,
            env=environment(**settings),
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
def serving(database: Path, **settings: str) -> Iterator[Running]:
    """Serve a database on a free port. Unlike the fixture's, this server may be killed."""
    arguments = ("serve", "--port", "0", "--database", url_of(database))
    settings = {"BACKSTORY_LOG_LEVEL": "warning"} | settings
    with started(database.parent, *arguments, **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), (database.parent / "log").read_text()
        yield Running(process, url, database)
