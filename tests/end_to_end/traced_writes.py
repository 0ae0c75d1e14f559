"""A process that changes a database, under strace: what it asks of the disk, and its answers."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from app.assistants import changes
from app.services import open_services
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from events.bodies.patch import read_create
from tests.conftest import make_organizations
from tests.databases import config_of
from tests.end_to_end import changing_process
from tests.end_to_end.changing_process import Answer, Plan
from tests.forking import ROOT

NEEDED = "BACKSTORY_TEST_STRACE"  # set in CI, where a missing strace is an error
_SECONDS = 600
_CALLS = "pwrite64,write,ftruncate,fsync,fdatasync"
_LINE = re.compile(
    r"(?P<call>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>(\(deleted\))?(?P<rest>.*) = (?P<result>-?\d+)"
)
TRACED = ("-y", "-xx", "-s", "10000000")  # the options that ``read_trace`` needs
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")


class Write(Struct, frozen=True):
    """Bytes for a place in a file."""

    path: Path
    offset: int
    data: bytes


class Truncate(Struct, frozen=True):
    """A new length for a file."""

    path: Path
    size: int


class Sync(Struct, frozen=True):
    """A sync of a file, and whether it succeeded."""

    path: Path
    is_done: bool


Step = Answer | Write | Truncate | Sync


def make_database(path: Path) -> None:
    """A new database with the assistant that the changes are of."""
    make_organizations(path, 1)

    def create(unit: UnitOfWork) -> None:
        changes.create(unit, system(1, "tests"), read_create({"name": "One"}))

    async def write() -> None:
        async with open_services(config_of(path)) as services:
            await services.writer.write(1, create)

    asyncio.run(write())


def run(database: Path, plan: Plan, *options: str, trace: Path | None = None) -> list[Answer]:
    """Let a process make changes, under strace with these options: what it was told of each."""
    if shutil.which("strace") is None:
        if NEEDED in os.environ:
            pytest.fail(f"strace is missing, and {NEEDED} is set")
        pytest.skip("strace is missing: apt-get install strace")
    output = ("-o", str(trace or os.devnull))
    calls = ("-e", f"trace={_CALLS}")
    strace = ("strace", "-f", "--seccomp-bpf", "-qqq", *output, *calls, *options)
    program = (sys.executable, "-m", changing_process.__name__, str(database))
    done = subprocess.run(
        [*strace, *program, msgspec.json.encode(plan)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [_answer(line) for line in done.stdout.splitlines()]


def read_trace(trace: Path) -> Iterator[Step]:
    """The steps of a process that ran with ``TRACED``, in order."""
    begun: dict[str, str] = {}  # by thread
    for line in trace.read_text("ascii").splitlines():
        thread, _, text = line.partition(" ")
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if (resumed := _RESUMED.match(text.lstrip())) is not None:
            text = begun.pop(thread) + text.lstrip()[resumed.end() :]
        if (call := _LINE.match(text.lstrip())) is not None:
            yield from _steps(call)


def failing(call: str, error: str, first: int, step: int | None = None) -> tuple[str, str]:
    """Options to let a call fail: once, or again after each so many calls."""
    again = f"+{step}" if step else ""
    return ("-e", f"inject={call}:error={error}:when={first}{again}")


def _steps(call: re.Match[str]) -> Iterator[Step]:
    path, is_done = Path(_text(call["path"])), int(call["result"]) >= 0
    match call["call"]:
        case "fsync" | "fdatasync":
            yield Sync(path, is_done)
        case _ if not is_done:
            return
        case "pwrite64":
            data, _, numbers = call["rest"].removeprefix(', "').partition('", ')
            offset = int(numbers.rstrip(") ").split(", ")[1])
            yield Write(path, offset, _bytes(data)[: int(call["result"])])
        case "ftruncate":
            yield Truncate(path, int(call["rest"].strip(", )")))
        case "write" if call["fd"] == "1":
            data = call["rest"].removeprefix(', "').partition('"')[0]
            yield _answer(_bytes(data).decode())


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _text(text: str) -> str:
    return _bytes(text).decode() if text.startswith("\\x") else text


def _answer(line: str) -> Answer:
    number, outcome = line.split()
    return Answer(int(number), outcome)  # type: ignore[arg-type]  # it is what the process wrote
