"""The limits of a real server, and whose address it believes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.accounts import tokens
from tests.app.audit.log_reader import eventually
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.end_to_end.processes import client, serving

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

_COUNT = f"{ASSISTANTS}/count"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def tenant(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


def statuses(asking: httpx.Client, times: int, **headers: str) -> list[int]:
    return [asking.get(_COUNT, headers=headers).status_code for _ in range(times)]


def test_a_server_refuses_a_key_beyond_its_limit_and_no_other(
    database: Path, tenant: Organization
) -> None:
    settings = {"BACKSTORY_RATE_LIMIT": "5/m", "BACKSTORY_ORGANIZATION_RATE_LIMIT": "8/m"}
    with serving(database, **settings) as running:
        with client(running.url, tenant.editor) as editor:
            assert statuses(editor, 11) == [200] * 10 + [429]
            answer = editor.patch(f"{ASSISTANTS}/1", json={"name": "x" * 100_000})
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 12
            assert editor.get("/health").status_code == editor.get("/ready").status_code == 200
        with client(running.url, tenant.viewer) as viewer:
            assert statuses(viewer, 7) == [200] * 6 + [429]


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [("", "127.0.0.1"), ("192.0.2.0/24", "127.0.0.1"), ("127.0.0.0/8, ::1", "203.0.113.9")],
)
def test_only_a_trusted_proxy_says_from_where_a_request_comes(
    database: Path, tenant: Organization, trusted: str, believed: str
) -> None:
    settings = {"BACKSTORY_TRUSTED_PROXIES": trusted, "BACKSTORY_FAILED_LOGIN_LIMIT": "2/m"}
    forwarded = {"x-forwarded-for": "198.51.100.1, 203.0.113.9"}  # the first one is the client's
    with (
        serving(database, **settings) as running,
        client(running.url, tokens.make_token(tenant.id)) as guessing,
        client(running.url, tenant.admin) as admin,
    ):
        assert statuses(admin, 1) == [200]  # a key that is known goes on working
        assert statuses(guessing, 5, **forwarded) == [401] * 4 + [429]
        (*_, entry) = eventually(admin, 4)
        assert entry["ip_address"] == believed
        # Another address is another client, if the proxy is trusted: else it is a forgery.
        expected = 401 if believed == "203.0.113.9" else 429
        assert statuses(guessing, 1, **{"x-forwarded-for": "203.0.113.10"}) == [expected]
        assert statuses(admin, 1, **forwarded) == [200]
