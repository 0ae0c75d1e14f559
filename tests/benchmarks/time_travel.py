"""Reading the past of a short and of a long stream: ``python -m tests.benchmarks.time_travel``.

One assistant has 100 versions, the other 100,000; a change sets one of forty settings. A server
runs as a process of its own. Each question is asked of both in turn, about random versions from
all of the stream, over one connection; the table shows medians and the ratio of long to short.
The last lines are what keyframes cost: changes decided and committed in batches, with and without.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from projections import keyframes
from tests.conftest import Organization, make_organizations
from tests.databases import config_of, writing_engine
from tests.end_to_end.processes import serving

LENGTHS = (100, 100_000)
ROUNDS = 300
COSTLY = 20_000  # versions that the cost of keyframes is measured over
_BATCH = 64
_START = datetime(2100, 1, 1, tzinfo=UTC)  # after the organization was made
_SECOND = timedelta(seconds=1)
_ACTOR = Actor(type="api_key", id=1, name="Ada Okafor", user_id=1)
_QUESTIONS: dict[str, Callable[[int, int], str]] = {
    "GET, now": lambda _, __: "",
    "?version=n": lambda n, _: f"?version={n}",
    "?as_of=": lambda n, _: f"?as_of={(_START + _SECOND * n).isoformat().replace('+00:00', 'Z')}",
    "/versions/n": lambda n, _: f"/versions/{n}",
    "/versions, a page at n": lambda n, _: f"/settings-history/{max(n, 2)}",
    "/diff, ten versions": lambda n, _: f"/diff?from={max(n - 10, 1)}&to={n}",
    "/blame at n": lambda n, _: f"/blame?version={n}",
}


class _Clock:
    """A second for each version, so that a moment names one."""

    def __init__(self) -> None:
        self.version = 0

    def __call__(self) -> datetime:
        return _START + _SECOND * self.version


def fill(path: Path, assistant: int, versions: int) -> float:
    """Give an assistant so many versions; seconds."""
    safe = open_vault(config_of(path))
    caller = Caller(organization_id=1, actor=_ACTOR, is_admin=True)
    engine, clock = writing_engine(path), _Clock()
    started = time.perf_counter()
    for first in range(1, versions + 1, _BATCH):
        with engine.begin() as connection:
            unit = UnitOfWork(connection, safe, clock)
            for version in range(first, min(first + _BATCH, versions + 1)):
                clock.version = version
                _change(unit, caller, assistant, version)
            unit.flush()
    engine.dispose()
    return time.perf_counter() - started


def _change(unit: UnitOfWork, caller: Caller, assistant: int, version: int) -> None:
    if version == 1:
        changes.create(unit, caller, read_create({"name": "Front desk"}))
        return
    patch = read_patch({"custom_settings": {f"setting {version % 40}": version}})
    change_request = ChangeRequest(caller=caller, assistant_id=assistant)
    changes.change(unit, change_request, patch, Cause(type="patch"))


def ask(url: str, organization: Organization) -> dict[str, list[list[float]]]:
    """For each question and assistant, how long the answers took, in milliseconds."""
    taken: dict[str, list[list[float]]] = {name: [[], []] for name in _QUESTIONS}
    choose = random.Random(5)
    headers = {"authorization": f"Bearer {organization.viewer}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for _ in range(ROUNDS):
            for name, address in _QUESTIONS.items():
                for position, length in enumerate(LENGTHS):
                    path = address(choose.randint(1, length), length)
                    started = time.perf_counter()
                    answer = client.get(f"/api/v1/assistants/{position + 1}{path}")
                    taken[name][position].append((time.perf_counter() - started) * 1000)
                    answer.raise_for_status()
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "backstory.db"
        (organization,) = make_organizations(database, 1)
        for position, length in enumerate(LENGTHS):
            print(f"{length} versions: {fill(database, position + 1, length):.1f} s", flush=True)  # noqa: T201  # what it is run for
        with serving(database) as server:
            taken = ask(server.url, organization)
    print(f"| | {LENGTHS[0]} | {LENGTHS[1]:,} | ratio |\n|---|---|---|---|")  # noqa: T201  # what it is run for
    for name, (short, long) in taken.items():
        one, other = statistics.median(short), statistics.median(long)
        print(f"| {name} | {one:.2f} | {other:.2f} | {other / one:.2f} |")  # noqa: T201  # what it is run for
    for every in (keyframes.EVERY, sys.maxsize, keyframes.EVERY, sys.maxsize):
        keyframes.EVERY = every
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / "backstory.db"
            make_organizations(database, 1)
            each = fill(database, 1, COSTLY) / COSTLY * 1e6
            said = "none" if every == sys.maxsize else f"every {every}"
            print(f"keyframes {said}: {each:.0f} us for a change")  # noqa: T201  # what it is run for


if __name__ == "__main__":
    main()
