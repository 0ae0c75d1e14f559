"""What cannot be taken back believes the clock only as far as a running server saw time pass."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services import utc_now
from app.transactions.clock import FASTEST, TOLERANCE, ForwardClock, Witness, believed, observe
from events import log_head
from events.tables import to_micros
from tests.app import stored
from tests.conftest import ASSISTANTS, make_organizations, serving
from tests.databases import execute, reading_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_AGES = st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000))
# Seconds that truly pass, how far the clock is off after them, and whether the server starts anew.
_STEPS = st.lists(st.tuples(st.floats(0, 1e7), _AGES, st.booleans()), max_size=20)


class Machine:
    """A server's clock, which anybody may set, its monotonic clock, and what is stored."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stored = _NOON
        self.start()

    def start(self) -> None:
        self.witness = Witness(lambda: self.seconds)
        self.look(self.stored)

    def look(self, now: datetime) -> datetime:
        """What is believed."""
        self.stored = self.witness.observe(1, self.stored, now)
        return believed(self.stored, now)


@given(_STEPS)
def test_no_clock_is_believed_further_than_time_that_passed(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    machine = Machine()
    for seconds, off, starts in steps:
        machine.seconds += seconds
        if starts:
            machine.start()
        before = machine.stored
        now = _NOON + timedelta(seconds=machine.seconds) + off
        latest = _NOON + timedelta(seconds=machine.seconds * FASTEST) + TOLERANCE
        assert machine.look(now) <= min(now, latest + timedelta(milliseconds=1))
        assert machine.stored >= before


def test_a_server_that_starts_over_and_over_gains_nothing() -> None:
    machine = Machine()
    for _ in range(10_000):
        machine.start()
        assert machine.look(_NOON + timedelta(days=40)) == _NOON + TOLERANCE


def test_a_quiet_installation_that_starts_each_week_is_believed_after_all() -> None:
    """It has no events, and is down for an hour each week."""
    machine = Machine()
    now = _NOON
    for _ in range(7 * 6):
        for _ in range(23):
            machine.seconds += 3600
            now += timedelta(hours=1)
            machine.look(now)
        now += timedelta(hours=1)
        machine.start()
    assert now - machine.look(now) < timedelta(hours=2)


def test_the_observed_time_never_runs_backwards() -> None:
    assert observe(_NOON, 60, _NOON - timedelta(days=1)) == _NOON
    assert observe(_NOON, 60, _NOON + timedelta(seconds=60)) == _NOON + timedelta(seconds=60)


def test_what_expired_stays_expired_when_the_clock_is_set_back() -> None:
    now, seconds = [_NOON], [0.0]
    clock = ForwardClock(lambda: now[0], lambda: seconds[0])
    now[0] += timedelta(hours=13)
    seconds[0] += 1
    assert clock() == _NOON + timedelta(hours=13)
    now[0] -= timedelta(days=1)
    seconds[0] += 60
    assert clock() == _NOON + timedelta(hours=13, seconds=60)


# -- the log


def _wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "the chore did not do it"
        time.sleep(0.02)


def test_after_the_clock_is_set_back_the_log_goes_on_and_says_so(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (organization,) = make_organizations(database, 1)

    def recorded() -> list[dict[str, Any]]:
        return stored.events(database, organization.id)

    def is_signed() -> bool:
        return bool(recorded()) and "checkpoint" in str(recorded()[-1]["type"])

    def ahead() -> datetime:
        return utc_now() + timedelta(days=40)

    for clock, send in ((ahead, "POST"), (utc_now, "PATCH")):
        # It is looked for a checkpoint each second, and one is due by time an hour later.
        with (
            serving(database, [], clock, checkpoint_interval="0s") as server,
            server.client(organization.admin) as admin,
        ):
            at = ASSISTANTS if send == "POST" else f"{ASSISTANTS}/1"
            assert admin.request(send, at, json={"name": f"Made by {send}"}).is_success
            _wait_until(is_signed)
            versions = admin.get(f"{ASSISTANTS}/1/versions").json()
            history = admin.get(f"{ASSISTANTS}/1/settings-history").json()
            log = admin.get("/api/v1/audit/logs").json()["logs"]
            if send == "PATCH":
                exported = admin.get("/api/v1/audit/export", params={"format": "ocsf"}).text
    assert ["clock_time" in one for one in versions] == [True, False]
    assert ["clock_time" in one for one in history] == [True]
    assert ["clock_time" in one["details"] for one in log] == [True, True, False, False]
    assert exported.count("clock_time") == len(log) // 2
    first, signed, second, again = recorded()[:4]
    assert first["occurred_at"] <= signed["occurred_at"] == second["occurred_at"]
    assert again["occurred_at"] == signed["occurred_at"]
    clock_time = datetime.fromisoformat(second["clock_time"])
    assert abs(clock_time - utc_now()) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("sequence", "signed_at", "is_due"),
    [
        (1, timedelta(minutes=-59), False),
        (1, timedelta(minutes=-60), True),
        (0, timedelta(minutes=-60), False),  # it has not grown
        (log_head.MOST_UNSIGNED - 1, timedelta(0), False),
        (log_head.MOST_UNSIGNED, timedelta(0), True),
        (1, timedelta(days=40), True),  # the clock was set back
        (0, timedelta(days=40), False),
    ],
)
def test_a_checkpoint_is_due_by_time_or_by_sequence(
    tmp_path: Path, sequence: int, signed_at: timedelta, *, is_due: bool
) -> None:
    database = tmp_path / "backstory.db"
    make_organizations(database, 1)
    micros = to_micros(_NOON + signed_at)
    execute(
        database,
        f"UPDATE organizations SET sequence = {sequence + 7}, checkpoint_sequence = 7,"
        f" checkpoint_at = {micros}",
    )
    engine = reading_engine(database)
    with engine.connect() as connection:
        due = log_head.checkpoints_due(connection, _NOON, timedelta(hours=1))
    engine.dispose()
    assert due == ([1] if is_due else [])
