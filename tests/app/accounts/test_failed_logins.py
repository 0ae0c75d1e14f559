from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.accounts.failed_logins import FailedLogin
from app.accounts.principals import RejectedKey
from app.services import Services, open_services
from tests.app import stored
from tests.app.standing_clock import Clock
from tests.conftest import make_organizations
from tests.databases import config_of

START = datetime(2030, 1, 1, tzinfo=UTC)


def attempt(key_id: int | None = None) -> FailedLogin:
    key = RejectedKey(organization_id=1, key_id=key_id)
    return FailedLogin(key=key, key_prefix="bks_00000000", ip_address=None, request_id="r")


def recorded(
    tmp_path: Path, happen: Callable[[Services, Clock], None]
) -> list[tuple[int | None, int]]:
    """The refusals in the log, each with its key and how many went unrecorded before it."""
    database = tmp_path / "backstory.db"
    make_organizations(database, 1)
    clock = Clock(START)

    async def serve() -> None:
        config = config_of(database)
        async with open_services(config, clock, monotonic=clock.monotonic) as services:
            happen(services, clock)
            await services.failed_logins.settle()

    asyncio.run(serve())
    return [
        (event["key_id"], event["unrecorded"])
        for event in stored.events(database, 1)
        if event["type"] == "login_refused.v1"
    ]


def test_a_flood_is_ten_events_and_one_that_counts_the_others(tmp_path: Path) -> None:
    def flood(services: Services, clock: Clock) -> None:
        del clock
        for _ in range(500):
            services.failed_logins.note(attempt())

    found = recorded(tmp_path, flood)
    assert found == [(None, 0)] * 10 + [(None, 489)]
    assert len(found) + sum(count for _, count in found) == 500


def test_what_was_only_counted_is_recorded_when_it_may_be(tmp_path: Path) -> None:
    def flood_and_wait(services: Services, clock: Clock) -> None:
        for _ in range(12):
            services.failed_logins.note(attempt())
        clock.now += timedelta(minutes=1)

    assert recorded(tmp_path, flood_and_wait) == [(None, 0)] * 10 + [(None, 1)]


def test_junk_does_not_hide_the_use_of_a_key_that_was_revoked(tmp_path: Path) -> None:
    def junk_first(services: Services, clock: Clock) -> None:
        del clock
        for _ in range(50):
            services.failed_logins.note(attempt())
        services.failed_logins.note(attempt(key_id=3))

    assert (3, 0) in recorded(tmp_path, junk_first)


def test_many_revoked_keys_of_an_organization_record_no_more_than_its_limit(
    tmp_path: Path,
) -> None:
    def use_all(services: Services, clock: Clock) -> None:
        for _ in range(2):
            for key_id in range(1, 501):
                services.failed_logins.note(attempt(key_id))
        clock.now += timedelta(minutes=1)

    found = recorded(tmp_path, use_all)
    assert len(found) >= 110
    assert [key_id for key_id, _ in found[:100]] == [*range(1, 101)]
    # The rest is recorded when the server ends, with how many there were of each.
    assert len(found) + sum(count for _, count in found) == 1000


def test_what_was_recorded_takes_no_memory(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    make_organizations(database, 1)
    clock = Clock(START)

    async def serve() -> list[int]:
        async with open_services(config_of(database), clock, monotonic=clock.monotonic) as services:
            failed_logins, found = services.failed_logins, []
            for key_id in range(1, 6):
                for _ in range(11):
                    failed_logins.note(attempt(key_id))
            for minutes in (0, 1):
                clock.now = START + timedelta(minutes=minutes)
                await failed_logins.settle()
                found.append(len(failed_logins._unrecorded))  # noqa: SLF001  # nothing else shows it
            return found

    assert asyncio.run(serve()) == [5, 0]
