"""Whether a server stays as it is for an hour: ``python -m tests.benchmarks.soak [--minutes M]``.

A server on a new SQLite database, with every option at its default, is asked the mixed work of
``mixture.py`` at a steady rate, and its log is archived every ten minutes. Each minute gives a row,
and the end the verdicts of ``steadiness.py``; the exit code is 1 where one was not kept. Two
controls tell how quiet the machine was: a bare handler, and a write that is synced.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

from msgspec import Struct

from tests.benchmarks import bare, load, mixture, neighbours, noise, places, steadiness
from tests.benchmarks.mixture import WORK, Organization
from tests.benchmarks.neighbours import Backstory
from tests.benchmarks.steadiness import Answer, Sample, Verdict
from tests.forking import ROOT

_RATE = 50.0  # requests a second
_ORGANIZATIONS = 4
_THREADS = 24  # of the load
_MINUTE, _ARCHIVE = 60.0, 600.0  # seconds
_IDLE = 3.0  # seconds: the server closes a connection that waits for longer
_CONTROLS = {"bare": 5.0, "sync": 2.0}  # a second
_BODY = b'{"name": "Desk", "llm_settings": {"max_tokens": 100}}'  # of the bare handler
_HEAD = "| minute | MB | anonymous | threads | descriptors | WAL, MB | {} | load | unexpected |"
_SHOWN = ("GET", "PATCH", *_CONTROLS)


class Soak(Struct, kw_only=True):
    """What was measured."""

    samples: list[Sample]
    answers: list[Answer]
    checked: str = ""

    def verdicts(self) -> Iterator[Verdict]:
        """Those of the figures, and that of ``check``."""
        yield from steadiness.verdicts(self.samples, self.answers)
        yield Verdict(
            what="check of the database",
            measured=self.checked or "nothing differs",
            goal="nothing differs",
            is_kept=not self.checked,
        )


class _Load:
    """Sends requests at their times, by threads that each keep their connections."""

    def __init__(self, url: str, bare_url: str, organizations: Sequence[Organization]) -> None:
        self._bare = bare_url
        self._url = url
        self._organizations = organizations
        self._threads = ThreadPoolExecutor(_THREADS)
        self._kept = threading.local()
        self._clients: list[noise.Client] = []
        self._random = Random(len(organizations))  # a load, not a secret
        self._started = time.perf_counter()
        self.answers: list[Answer] = []

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def run(self, rate: float, until: float) -> None:
        """Send requests until a time."""
        rates = {"work": rate} | _CONTROLS
        due = dict.fromkeys(rates, self.now)
        while (next_due := min(due.values())) < until:
            kind = min(due, key=due.__getitem__)
            time.sleep(max(next_due - self.now, 0))
            self._threads.submit(self._time, self._chosen(kind), next_due)
            due[kind] += self._random.uniform(0.5, 1.5) / rates[kind]

    def close(self) -> None:
        """Wait for the last answers, and close the connections."""
        self._threads.shutdown()
        for client in self._clients:
            client.close()

    def _chosen(self, kind: str) -> str:
        weights = [work.weight for work in WORK.values()]
        return self._random.choices(list(WORK), weights)[0] if kind == "work" else kind

    def _time(self, kind: str, due: float) -> None:
        try:
            status, is_expected = self._ask(kind)
        except Exception as error:  # noqa: BLE001  # it is an answer that was not expected
            status, is_expected = repr(error)[:200], False
        took = (self.now - due) * 1000
        self.answers.append(Answer(due, kind, took, status, is_expected))

    def _ask(self, kind: str) -> tuple[str, bool]:
        if kind == "sync":
            return _sync(), True
        if kind == "bare":
            status = self._client(self._bare, self._organizations[0].admin).ask("GET", bare.PATH)
            return status, status == "200"
        organization = self._random.choice(self._organizations)
        status = WORK[kind].ask(self._client(self._url, organization.admin), organization)
        return status, status in WORK[kind].statuses

    def _client(self, url: str, key: str) -> noise.Client:
        """This thread's client of a server, connected anew where it was idle for long."""
        kept: dict[str, tuple[noise.Client, float]] = vars(self._kept)
        if url not in kept:
            kept[url] = noise.Client(url, key), self.now
            self._clients.append(kept[url][0])
        client, used = kept[url]
        if self.now - used > _IDLE:
            client.close()
        client.key = key
        kept[url] = client, self.now
        return client


def _sync() -> str:
    """Write a page to a file of its own, durably."""
    with tempfile.TemporaryFile(dir=tempfile.gettempdir()) as file:
        file.write(b"a" * 4096)
        file.flush()
        os.fsync(file.fileno())
    return "synced"


def soak(minutes: float, rate: float, *, show: Callable[[str], None]) -> Soak:
    """Ask a new server for so long, and check its database after; shows a row each minute."""
    with neighbours.new(ROOT) as backstory:
        keys = [backstory.make_key(f"Organization {n}") for n in range(1, _ORGANIZATIONS + 1)]
        with backstory.serving() as (url, pid), _bare(backstory) as bare_url:
            organizations = [_organization(url, *one) for one in enumerate(keys, 1)]
            work = _Load(url, bare_url, organizations)
            with _archiving(backstory, work):
                samples = list(_sampled(work, pid, backstory.folder, minutes * 60, rate, show))
        done = backstory.run("check")
        checked = "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"[-1000:]
        return Soak(samples=samples, answers=work.answers, checked=checked)


def _organization(url: str, number: int, key: str) -> Organization:
    with closing(noise.Client(url, key)) as client:
        return mixture.prepare(client, number)


@contextmanager
def _bare(backstory: Backstory) -> Iterator[str]:
    file = backstory.folder / "body"
    file.write_bytes(_BODY)
    with load.running("bare", backstory.url, str(file), **backstory.keys) as url:
        yield url


def _sampled(
    work: _Load, pid: int, folder: Path, seconds: float, rate: float, show: Callable[[str], None]
) -> Iterator[Sample]:
    """Load the server, and look at it each minute, or sixty times where all takes less."""
    step = min(_MINUTE, seconds / 60)
    show(_HEAD.format(" | ".join(f"{kind} p50 / p99" for kind in _SHOWN)))
    show("|---" * (8 + len(_SHOWN)) + "|")
    while work.now < seconds:
        seen = len(work.answers)
        work.run(rate, work.now + step)
        sample = steadiness.sample(pid, work.now)
        show(_row(sample, work.answers[seen:], folder))
        yield sample
    work.close()


def _row(sample: Sample, answers: Sequence[Answer], folder: Path) -> str:
    times = {kind: [one.time for one in answers if one.kind == kind] for kind in _SHOWN}
    (wal,) = folder.glob("*-wal")
    cells = (
        f"{sample.at / 60:.1f}",
        f"{sample.memory:.1f}",
        f"{sample.anonymous:.1f}",
        str(sample.threads),
        str(sample.descriptors),
        f"{wal.stat().st_size / 1e6:.1f}",
        *(f"{median(some or [0]):.1f} / {steadiness.p99(some):.1f}" for some in times.values()),
        f"{os.getloadavg()[0]:.1f}",
        ", ".join(f"{n} x {what}" for what, n in steadiness.unexpected(answers).items()),
    )
    return f"| {' | '.join(cells)} |"


@contextmanager
def _archiving(backstory: Backstory, work: _Load) -> Iterator[None]:
    """Archive the log now and every ten minutes, beside the load; each try is an answer."""
    is_over = threading.Event()

    def archive() -> None:
        due = work.now
        before = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        with tempfile.TemporaryDirectory() as folder:
            done = backstory.run("archive", "--before", before, "--to", folder)
        status = "done" if done.returncode == 0 else f"{done.stdout}{done.stderr}"[-200:]
        took = (work.now - due) * 1000
        work.answers.append(Answer(due, "archive", took, status, done.returncode == 0))

    def go_on() -> None:
        archive()
        while not is_over.wait(_ARCHIVE):
            archive()

    thread = threading.Thread(target=go_on)
    thread.start()
    yield
    is_over.set()
    thread.join()


def _controls(answers: Sequence[Answer]) -> Iterator[str]:
    for kind in _CONTROLS:
        first, last = steadiness.ends(kind, answers)
        yield f"control {kind}: p99 {first:.1f} ms at first, {last:.1f} ms at last"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the table is what this is for


def main() -> None:
    """Soak a server, and print each minute and the verdicts."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=_RATE, help="requests a second")
    given = parser.parse_args()
    places.choose("sqlite")
    done = soak(given.minutes, given.rate, show=_say)
    for verdict in (verdicts := list(done.verdicts())):
        kept = "kept" if verdict.is_kept else "MISSED"
        _say(f"{kept}: {verdict.what}: {verdict.measured} (goal: {verdict.goal})")
    for line in _controls(done.answers):
        _say(line)
    sys.exit(not all(verdict.is_kept for verdict in verdicts))


if __name__ == "__main__":
    main()
