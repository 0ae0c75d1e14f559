"""What one organization's neighbours cost it: ``python -m tests.benchmarks.neighbours [NAME ...]``.

The caller of ``steady.py`` reads fifty times a second and changes ten times, alone and beside each
neighbour of ``noise.py``. ``--quick`` is for a look. ``--server CHECKOUT`` measures the server of
another checkout, which has its own ``.venv``; ``--control CHECKOUT`` adds its figures in a last
column. Each neighbour gets a new database, and a server that has answered nothing before.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_bytes

from msgspec import Struct

from tests.benchmarks import load, noise, places, steady
from tests.benchmarks.load import Row
from tests.benchmarks.steady import Kind, Taken
from tests.databases import KINDS, on_sqlite, text_of
from tests.end_to_end.processes import environment
from tests.forking import ROOT

_SECONDS, _QUICK_SECONDS = 10.0, 2.5
_QUICK_SIZE = 0.2  # of a neighbour's data
_WARM_UP, _REST = 0.5, 1.0  # seconds: before the caller is timed, and before memory is
_WORST, _MEMORY = 1500, 400  # ms, MB
_TIMES = 5  # the p95 of alone
_GOOD = {"GET": 20.0, "PATCH": 150.0}  # ms: a p95 that is good enough, whatever it is alone
# The keys of a file lie beside it. A server's database has none of its own.
_KEYS = ("BACKSTORY_MASTER_KEY", "BACKSTORY_AUDIT_KEY")


class Measured(Struct, frozen=True, kw_only=True):
    """The caller's times beside a neighbour, and the server's memory in MB."""

    taken: Mapping[Kind, Taken]
    peak: float
    after: float
    answers: str

    @property
    def memory(self) -> str:
        """The most there was, and what is kept."""
        return f"{self.peak:.0f} MB, {self.after:.0f} MB after"


class Backstory(Struct, frozen=True, kw_only=True):
    """The command of a checkout, and a database."""

    checkout: Path
    folder: Path
    url: str
    keys: Mapping[str, str]

    def make_key(self, organization: str) -> str:
        """A new key of an admin."""
        options = ("--organization", organization, "--role", "admin")
        return subprocess.run(
            self._command("keys", "create", *options),
            env=environment(**self.keys, BACKSTORY_LOG_LEVEL="error"),  # a new file gets keys
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.strip()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command run to its end, as work that yields to a server's."""
        return subprocess.run(
            ["nice", *self._command(*arguments)],
            env=environment(**self.keys),
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def serving(self) -> Iterator[tuple[str, int]]:
        """The URL and the process of a new server."""
        with (
            (self.folder / "log").open("a") as log,
            subprocess.Popen(
                self._command("serve", "--port", "0"),
                cwd=self.folder,
                env=environment(**self.keys),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None  # it is piped
            try:
                yield process.stdout.readline().strip(), process.pid
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(2)
                process.kill()

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.checkout / ".venv/bin/backstory"), *arguments, "--database", self.url]


@contextmanager
def new(checkout: Path) -> Iterator[Backstory]:
    """A new database, empty: the checkout's own command fills it."""
    with tempfile.TemporaryDirectory(prefix="backstory-bench-") as name:
        folder = Path(name)
        url = text_of(folder / "bench.db", is_empty=not on_sqlite())
        keys = {} if on_sqlite() else {key: b64encode(token_bytes(32)).decode() for key in _KEYS}
        yield Backstory(checkout=checkout, folder=folder, url=url, keys=keys)


def measure(checkout: Path, name: str, seconds: float, size: float) -> Measured:
    """The caller beside a neighbour that has so much data."""
    with new(checkout) as backstory:
        key = backstory.make_key("Caller")
        with _prepared(backstory, key, name, size) as neighbour, backstory.serving() as (url, pid):
            _call(url, key, 1.0)  # what was never read is not cached
            _start(neighbour, url)
            time.sleep(_WARM_UP)
            taken = _call(url, key, seconds)
            answers, _ = neighbour.communicate()
            time.sleep(_REST)
            return Measured(
                taken=taken,
                peak=load.memory(pid, "VmHWM"),
                after=load.memory(pid),
                answers=answers.strip(),
            )


@contextmanager
def _prepared(
    backstory: Backstory, key: str, name: str, size: float
) -> Iterator[subprocess.Popen[str]]:
    """The process of a neighbour; a server that is gone has taken its data, and the caller's."""
    other = backstory.make_key("Neighbour")
    with backstory.serving() as (url, _):
        steady.prepare(url, key)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.noise", name, str(size), url, other],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None  # it is piped
        is_ready = process.stdout.readline() == "ready\n"
    with process:
        try:
            if not is_ready:
                raise RuntimeError(f"{name}: its data could not be written")
            yield process
        finally:
            process.kill()


def _start(neighbour: subprocess.Popen[str], url: str) -> None:
    assert neighbour.stdin is not None  # it is piped
    neighbour.stdin.write(f"{url}\n")
    neighbour.stdin.flush()


def _call(url: str, key: str, seconds: float) -> Mapping[Kind, Taken]:
    return asyncio.run(steady.Caller(url, key).call(seconds))


def _rows(
    name: str, measured: Measured, alone: Measured, control: Measured | None
) -> Iterator[Row]:
    """The times of reads and of changes, the memory, and what the neighbour was answered."""
    for kind in steady.KINDS:
        p95 = max(_GOOD[kind], _TIMES * alone.taken[kind].p95)
        yield Row(
            what=f"{kind} beside {name}, p50 / p95 / worst",
            measured=str(measured.taken[kind]),
            goal=f"p95 <= {p95:.0f}, worst < {_WORST} ms",
            beside=str(control.taken[kind]) if control else "",
        )
    yield Row(
        what=f"memory beside {name}, at most",
        measured=measured.memory,
        goal=f"< {_MEMORY} MB",
        beside=control.memory if control else "",
    )
    if name != noise.NOBODY:
        answers = control.answers if control else ""
        yield Row(what=f"answers to {name}", measured=measured.answers, beside=answers)


def neighbours(
    names: list[str], server: Path, control: Path | None, seconds: float, size: float
) -> Iterator[Row]:
    """The rows of the table: first beside nobody, then beside each neighbour."""
    alone = None
    for name in dict.fromkeys((noise.NOBODY, *(names or noise.NEIGHBOURS))):
        measured = measure(server, name, seconds, size)
        alone = alone or measured
        other = measure(control, name, seconds, size) if control else None
        yield from _rows(name, measured, alone, other)


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.neighbours")
    names = ", ".join(noise.NEIGHBOURS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--quick", action="store_true", help="2.5 seconds, a fifth of the data")
    parser.add_argument("--server", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--control", type=Path, help="another, for the last column")
    parser.add_argument("--on", choices=KINDS, default="sqlite", help="the engine")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - noise.NEIGHBOURS.keys():
        parser.error(f"no such neighbour: {', '.join(sorted(unknown))}; there are {names}")
    return arguments


def main() -> None:
    """Measure what is named, or all, and print the table."""
    arguments = _read()
    places.choose(arguments.on)
    print(f"| {arguments.on}, {load.machine()} | measured | goal | control |\n|---|---|---|---|")  # noqa: T201  # the table is what this is for
    control = arguments.control.resolve() if arguments.control else None
    seconds, size = (_QUICK_SECONDS, _QUICK_SIZE) if arguments.quick else (_SECONDS, 1.0)
    for row in neighbours(arguments.names, arguments.server.resolve(), control, seconds, size):
        print(f"| {row.what} | {row.measured} | {row.goal} | {row.beside} |", flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main()
