"""Two organizations behind one caching proxy: neither is given what is the other's."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import pytest
from msgspec import Struct, field

from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.console import Browser
from tests.databases import copy_database
from tests.end_to_end.processes import client, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
REQUESTS = 2_000
COUNT = 3  # assistants of each organization
_UNGUARDED = """
import app.api.middleware.cache_control
app.api.middleware.cache_control.controlled = lambda _, headers: list(headers)
"""
_BARE_TAGS = """
import app.assistants.representation
app.assistants.representation.tag_of = lambda _, __, ___, version: str(version)
"""
_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors warn;
events {{ worker_connections 128; }}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_cache_path {folder}/cache keys_zone=answers:1m;
  server {{
    listen unix:{folder}/socket;
    location / {{
      proxy_pass {url}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache answers; proxy_cache_valid any 10m; proxy_cache_revalidate on;
      add_header X-Cache $upstream_cache_status always;
      {more}
    }}
  }}
}}
"""
_BELOW = (
    "", "?version=1", "?version=latest", "?as_of=2126-01-01T00:00:00Z", "/versions",
    "/versions/2", "/settings-history", "/settings-history/2", "/diff?from=1&to=2", "/blame",
    "/settings-history?limit=1",
)  # fmt: skip
_WHOLE = (
    ASSISTANTS, f"{ASSISTANTS}?limit=2", f"{ASSISTANTS}/export", f"{ASSISTANTS}/activity",
    f"{ASSISTANTS}/me/organization", "/api/v1/policy", "/api/v1/audit/logs",
    "/api/v1/users/me/api-keys", "/api/v1/change-sets/20",
)  # fmt: skip
_PAGES = (
    "/",
    "/assistants",
    "/assistants/1",
    "/assistants/1/history",
    "/assistants/1/live",
    "/policy",
    "/audit",
)
_API = (*_WHOLE, *(f"{ASSISTANTS}/{n}{one}" for n in range(1, COUNT + 1) for one in _BELOW))

pytestmark = [
    pytest.mark.long,
    pytest.mark.sqlite,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx)"),
]


class Seen(Struct):
    """What came of many requests through the proxy."""

    answers: int = 0
    from_cache: int = 0
    crossed: list[str] = field(default_factory=list)


@contextmanager
def proxy(folder: Path, url: str, more: str) -> Iterator[httpx.Client]:
    """A caching nginx before a server."""
    folder.mkdir()
    text = _CONFIGURATION.format(folder=folder, url=url, more=more)
    (folder / "configuration").write_text(text)
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "configuration")]
    with subprocess.Popen(command) as process:
        try:
            transport = httpx.HTTPTransport(uds=str(folder / "socket"), retries=8)
            with httpx.Client(base_url="http://proxy", transport=transport, timeout=30) as asking:
                yield asking
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Organization]]:
    """Two organizations that differ in nothing but what their settings say."""
    database = tmp_path_factory.mktemp("filled") / "backstory.db"
    organizations = make_organizations(database, 2)
    with serving(database) as running:
        for organization in organizations:
            with client(running.url, organization.admin) as admin:
                for number in range(1, COUNT + 1):
                    mark = f"{_mark(organization)} {number}"
                    made = admin.post(ASSISTANTS, json={"name": mark}).json()
                    assert made["id"] == number
                    changed = admin.patch(f"{ASSISTANTS}/{number}", json={"description": mark})
                    assert changed.json()["version"] == 2
                assert admin.put("/api/v1/policy", json={"require_reason": False}).is_success
    return database, organizations


def _mark(organization: Organization) -> str:
    return f"mark-of-{organization.id}-"


def callers(url: str, organizations: list[Organization]) -> Iterator[dict[str, str]]:
    """What each sends to be known, to the API and to the console."""
    for organization in organizations:
        with Browser(url) as browser:
            browser.sign_in(organization.admin)
            (cookie,) = browser.client.cookies.items()
        yield {"authorization": f"Bearer {organization.admin}", "cookie": "=".join(cookie)}


def ask(
    through: httpx.Client,
    organizations: list[Organization],
    known_by: list[dict[str, str]],
    seed: int,
) -> Seen:
    """Ask in any order, as either organization or as nobody, with tags of either."""
    choose, seen = random.Random(seed), Seen()
    right: dict[tuple[int, str], str] = {}  # whose tag of which address
    names = [f'"organization_id":{one.id}' for one in organizations]
    marks = [(_mark(one), name) for one, name in zip(organizations, names, strict=True)]
    for _ in range(REQUESTS):
        who, path = choose.randrange(-1, 2), choose.choice((*_API, *_PAGES))
        known = "cookie" if path in _PAGES else "authorization"
        headers = {} if who < 0 else {known: known_by[who][known]}
        other = right.get((1 - who, path))
        if choose.random() < 0.3 and other is not None:
            headers["if-none-match"] = other
        answer = through.get(path, headers=headers)
        seen.answers += 1
        seen.from_cache += answer.headers.get("x-cache") in ("HIT", "REVALIDATED", "STALE")
        if _is_crossed(answer, who, marks):
            seen.crossed.append(f"{path} to {who}: {answer.status_code}")
        elif answer.is_success and "etag" in answer.headers:
            right[who, path] = answer.headers["etag"]
    return seen


def _is_crossed(answer: httpx.Response, who: int, marks: list[tuple[str, str]]) -> bool:
    """Whether a caller got what is another's, or was told that another's is their own."""
    is_unknown = answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.SEE_OTHER)
    if who < 0:
        return not is_unknown
    if (
        is_unknown or answer.status_code == HTTPStatus.NOT_MODIFIED
    ):  # only the other's tags are sent
        return True
    return any(mark in answer.text for mark in marks[1 - who])


_IGNORE_CONTROL = "proxy_ignore_headers Cache-Control Expires;"
_IGNORE_VARY = "proxy_ignore_headers Vary;"
_IGNORE_ALL = "proxy_ignore_headers Cache-Control Expires Vary;"
_PASS_TAGS = "proxy_set_header If-None-Match $http_if_none_match;"  # noqa: S105  # of entities


@pytest.mark.parametrize(
    ("preamble", "more", "crosses", "caches"),
    [
        pytest.param("", "", False, False, id="as it is"),
        pytest.param("", _PASS_TAGS, False, False, id="with the tags of callers"),
        pytest.param("", _IGNORE_CONTROL, False, True, id="by Vary alone"),
        pytest.param("", _IGNORE_VARY, False, False, id="by Cache-Control alone"),
        pytest.param("", _IGNORE_ALL, True, True, id="control: a proxy that ignores both"),
        pytest.param(_UNGUARDED, "", True, True, id="control: neither is said"),
        pytest.param(_BARE_TAGS, _PASS_TAGS, True, False, id="control: bare tags"),
    ],
)
def test_no_answer_crosses_a_shared_cache(
    tmp_path: Path,
    filled: tuple[Path, list[Organization]],
    preamble: str,
    more: str,
    *,
    crosses: bool,
    caches: bool,
) -> None:
    """Run it with ``pytest -m long -s tests/end_to_end/test_shared_cache.py``; some minutes."""
    database, organizations = filled
    copy_database(database, tmp_path / "backstory.db")
    with (
        serving(tmp_path / "backstory.db", preamble=preamble) as running,
        proxy(tmp_path / "proxy", running.url, more) as through,
    ):
        known_by = list(callers(running.url, organizations))
        seen = ask(through, organizations, known_by, seed=16)
    print(f"{seen.answers} answers, {seen.from_cache} cached, {len(seen.crossed)} crossed")  # noqa: T201
    assert bool(seen.crossed) is crosses, seen.crossed[:10]
    assert (seen.from_cache > 0) is caches
