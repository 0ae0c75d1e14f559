"""A leader that loses its power takes no acknowledged change along: a standby had it, too.

These are on PostgreSQL under Patroni, whatever the run is on:

    apt-get install patroni etcd-server postgresql
    .venv/bin/pytest -m long tests/end_to_end/test_failover.py -s
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest

from events.changed import Event, LogEvent
from tests.conftest import make_organizations
from tests.databases import SERVER, chosen
from tests.end_to_end.acknowledged import Acknowledged, log_of, prove
from tests.end_to_end.failover import IS_INSTALLED, Cluster, cluster
from tests.end_to_end.processes import processes
from tests.end_to_end.test_several_processes import Load, create_assistants

KILLS = 4
_SILENT = 1.0  # seconds in which no standby hears of anything, before the leader dies
_QUICK = 90  # seconds after which writes must go on

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not IS_INSTALLED, reason="there is no Patroni"),
]


class Failovers:
    """Kills the leader again and again; ``seconds`` until the next change was acknowledged."""

    def __init__(self, servers: Cluster, kills: int) -> None:
        self.seconds: list[float] = []
        self._servers = servers
        self._kills = kills

    async def __call__(self, load: Load) -> None:
        for _ in range(self._kills):
            await load.wait_for(len(load.acknowledged) + 100)
            await asyncio.to_thread(self._kill_the_leader)
            began = time.monotonic()
            await asyncio.to_thread(self._servers.leader)
            await load.wait_for(len(load.acknowledged) + 1)
            self.seconds.append(time.monotonic() - began)
            for node in self._servers.nodes:
                if not node.is_running():
                    node.start()
            await asyncio.to_thread(self._servers.wait_until_whole)

    def _kill_the_leader(self) -> None:
        leader = self._servers.leader()
        leader.fall_silent()
        time.sleep(_SILENT)  # what is disturbed, not what is waited for
        leader.kill()


def run(
    path: Path, patch: pytest.MonkeyPatch, *, is_synchronous: bool, kills: int
) -> tuple[list[Acknowledged], list[LogEvent], list[float]]:
    """What was acknowledged, what the log has, and the seconds of each failover."""
    # Not the test's own folder, which only its user may enter.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        cluster(Path(folder), is_synchronous=is_synchronous) as servers,
        chosen("postgresql"),
    ):
        patch.setenv(SERVER, servers.url)
        database = path / "backstory.db"
        (organization,) = make_organizations(database, 1)
        failovers = Failovers(servers, kills)
        with processes(database, 2) as running:
            create_assistants(running.running[0], organization)
            load = Load(running, organization, seed=6)
            asyncio.run(load.run(failovers))
        return load.acknowledged, log_of(database, organization.id), failovers.seconds


def lost(acknowledged: list[Acknowledged], log: list[LogEvent]) -> int:
    """How many acknowledged changes the log does not have."""
    recorded = {
        (event.assistant_id, event.version, event.reason)
        for event in log
        if isinstance(event, Event)
    }
    return sum((one.assistant_id, one.version, one.reason) not in recorded for one in acknowledged)


def test_a_leader_that_is_killed_again_and_again_takes_no_acknowledged_change_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged, log, seconds = run(tmp_path, monkeypatch, is_synchronous=True, kills=KILLS)
    print(f"{len(acknowledged)} acknowledged, seconds until writes went on: {seconds}")  # noqa: T201
    prove(acknowledged, log)
    assert lost(acknowledged, log) == 0
    assert len(seconds) == KILLS
    assert max(seconds) < _QUICK


def test_control_without_synchronous_mode_a_leader_takes_changes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged, log, _ = run(tmp_path, monkeypatch, is_synchronous=False, kills=1)
    print(f"{lost(acknowledged, log)} of {len(acknowledged)} lost")  # noqa: T201
    assert lost(acknowledged, log)
