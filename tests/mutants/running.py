"""Runs tests against one mutant after the other, in a copy of the code: the code itself stays.

A function is changed in memory, in a process that has collected the tests, which is fast. For what
is changed outside of functions, such as a constant, a process imports our modules from the disk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import sqlalchemy as sa
from msgspec import Struct

from tests.databases import SERVER, drop_all, start_postgresql, write_fast
from tests.mutants.mutations import ROOT, Mutant
from tests.mutants.waiting import NOT_IN_A_FUNCTION

_COPIED = ("app", "events", "projections", "tests")
_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Result(Struct, frozen=True, kw_only=True):
    """What became of a run; ``killed_by`` is a test, or why the run ended; empty for none."""

    killed_by: str
    seconds: float


class Runs:
    """Runs tests in a copy of the code."""

    def __init__(self, copy: Path, server: sa.URL, open_processes: ExitStack) -> None:
        self._copy, self._server, self._open = copy, server, open_processes
        self._collected: dict[str, tuple[subprocess.Popen[str], float]] = {}

    def run(self, mutant: Mutant, tests: str) -> Result:
        """Run the tests of a mutant until one fails. They must pass on the code as it is."""
        if tests not in self._collected:
            self._collect(tests)
        process, unchanged = self._collected[tests]
        seconds = 30 + 4 * int(unchanged)
        name = mutant.module.removesuffix(".py").replace("/", ".")
        result = self._ask(process, seconds, module=name, source=mutant.source)
        if result is not None:
            return result
        file = self._copy / mutant.module
        file.write_text(mutant.source, "utf-8")
        try:
            result = self._ask(self._libraries, seconds, tests=tests.split())
        finally:
            shutil.copy2(ROOT / mutant.module, file)
        assert result
        return result

    @cached_property
    def _libraries(self) -> subprocess.Popen[str]:
        return self._waiting("")

    def _collect(self, tests: str) -> None:
        process = self._waiting(tests)
        unchanged = self._ask(process, 900, module=None)
        assert unchanged
        assert not unchanged.killed_by, f"fails on the code as it is: {unchanged.killed_by}"
        self._collected[tests] = process, unchanged.seconds

    def _waiting(self, tests: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.mutants.waiting", *tests.split()]
        ours = {
            "PYTHONPATH": str(self._copy),
            "PYTHONDONTWRITEBYTECODE": "1",
            SERVER: self._server.render_as_string(hide_password=False),
        }
        # Not as a worker of the run that this may be a test of.
        environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")} | ours
        return self._open.enter_context(
            subprocess.Popen(
                command,
                cwd=self._copy,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )

    def _ask(
        self, process: subprocess.Popen[str], seconds: int, **request: object
    ) -> Result | None:
        assert process.stdin
        assert process.stdout
        shutil.rmtree(self._copy / "files", ignore_errors=True)
        drop_all(self._server)  # their names are those of the next run's
        started = time.monotonic()
        print(json.dumps(request | {"seconds": seconds}), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        if code == NOT_IN_A_FUNCTION:
            return None
        return Result(killed_by=self._why(code), seconds=time.monotonic() - started)

    def _why(self, code: int) -> str:
        if code <= 0:
            return "time limit" if code else ""
        output = (self._copy / "output").read_text("utf-8", "replace")
        failed = _FAILED.search(output)
        return failed[1] if failed else output.strip().rpartition("\n")[2]


@contextmanager
def running() -> Iterator[Runs]:
    """A copy of the code, and the processes that run its tests."""
    with _copied() as copy, _postgresql() as server, ExitStack() as open_processes:
        yield Runs(copy, server, open_processes)


@contextmanager
def _copied() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mutants") as folder:
        copy = Path(folder)
        for name in _COPIED:
            shutil.copytree(ROOT / name, copy / name)
        for name in _FILES:
            shutil.copy2(ROOT / name, copy)
        yield copy


@contextmanager
def _postgresql() -> Iterator[sa.URL]:
    started = start_postgresql(Path(mkdtemp(prefix="mutants")))
    try:
        url = sa.make_url(started.get_uri())
        write_fast(url)
        yield url
    finally:
        started.cleanup()  # its folder, too
