"""A server process whose clock is weeks ahead destroys nothing before the operator confirms it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.app import stored
from tests.conftest import make_organizations
from tests.conftest import serving as in_a_thread
from tests.databases import text_of
from tests.end_to_end.processes import client, run, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ASSISTANTS = "/api/v1/assistants"
_PATIENCE = 30
_SECRET = {"name": "Gone", "api_keys": {"a": "value"}}
_KEYED = {"idempotency-key": "once"}
# Weeks ahead; a process that is forked from one which imported everything has it, too.
AHEAD = """
import datetime, app.services
class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + datetime.timedelta(days=40)
app.services.datetime = Ahead
"""
BELIEVES_ALL = """
import app.transactions.unit_of_work as it
it.believed = lambda observed, now: now
"""


def _wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < end, "the chore did not do it"
        time.sleep(0.02)


@pytest.mark.parametrize("believes_all", [False, True], ids=["", "control"])
def test_a_clock_weeks_ahead_destroys_nothing(tmp_path: Path, *, believes_all: bool) -> None:
    database = tmp_path / "backstory.db"
    (organization,) = make_organizations(database, 1)
    at = ("--database", text_of(database))
    preamble = AHEAD + BELIEVES_ALL * believes_all

    def sealed() -> int:
        return len(stored.rows(database, organization.id)["sealed_secrets"])

    def warned() -> bool:
        return "purge_waits" in (tmp_path / "log").read_text()

    with in_a_thread(database, []) as here, here.client(organization.admin) as admin:
        made = admin.post(ASSISTANTS, json=_SECRET, headers=_KEYED).json()
        assert admin.delete(f"{ASSISTANTS}/{made['id']}").is_success
    with (
        serving(database, preamble=preamble) as server,
        client(server.url, organization.admin) as admin,
    ):
        if believes_all:
            _wait_until(lambda: not sealed())
        else:
            _wait_until(warned)
            assert sealed() == 1
        again = admin.post(ASSISTANTS, json=_SECRET, headers=_KEYED)
        assert ("idempotent-replayed" in again.headers) is not believes_all
        if believes_all:
            return
        assert again.json()["id"] == made["id"]
        assert admin.post(ASSISTANTS, json={"name": "Later"}).status_code == 201

    # What a server with a wrong clock recorded vouches for nothing.
    refused = run(tmp_path, "vault", "purge", *at, preamble=AHEAD)
    assert (refused.returncode, refused.stdout) == (1, "0 secrets purged\n")
    assert "if it is right, add --confirm-clock" in refused.stderr
    assert sealed() == 1
    # The clock is right: nothing waits, and nothing is due.
    assert run(tmp_path, "vault", "purge", *at).stdout == "0 secrets purged\n"
    assert sealed() == 1
    confirmed = run(tmp_path, "vault", "purge", "--confirm-clock", *at, preamble=AHEAD)
    assert (confirmed.returncode, confirmed.stdout) == (0, "1 secrets purged\n")
    assert sealed() == 0
