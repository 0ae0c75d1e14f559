"""An installation moves to PostgreSQL and back, and is the same: leaf by leaf, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.storage.sqlite import SQLITE
from tests.app import stored
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import chosen, text_of, writing_engine
from tests.end_to_end.processes import EQUAL, client, run, serving

SECRET = "sk-live-7d1e"  # noqa: S105  # the tests' own
# A run that ends after its second page of events, as if it was killed.
_INTERRUPTED = """
import os
from app.cli import copy as copying
copying._AT_ONCE = 5
pages = copying._pages
def _pages(*arguments, **members):
    for number, page in enumerate(pages(*arguments, **members)):
        if number == 2:
            os._exit(9)
        yield page
copying._pages = _pages
"""
# A database that loses a row on the way, and says nothing.
_FORGETFUL = """
from app.cli import copy as copying
copy_rest = copying._copy_rest
def _copy_rest(source, target, organization_id):
    copy_rest(source, target, organization_id)
    target.exec_driver_sql("DELETE FROM sealed_secrets WHERE assistant_id = 1")
copying._copy_rest = _copy_rest
"""


class Moving:
    """A file with two organizations and what they did, and places to copy it to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "here.db"
        with chosen("sqlite"):
            self.organizations = make_organizations(self.file, 2)
            with serving(self.file) as running:
                for organization in self.organizations:
                    live(running.url, organization)
        self.here = f"{SQLITE}:///{self.file}"
        self.keys = {
            "BACKSTORY_MASTER_KEY": (folder / "here.db.key").read_text().strip(),
            "BACKSTORY_AUDIT_KEY": (folder / "here.db.audit.key").read_text().strip(),
        }
        self.back = folder / "back.db"
        with chosen("postgresql"):
            self.server = text_of(folder / "there")

    def copy(self, source: str, target: str, preamble: str = "") -> tuple[int, str]:
        arguments = ("copy", "--from", source, "--to", target)
        ended = run(self.folder, *arguments, preamble=preamble, **self.keys)
        return ended.returncode, ended.stdout + ended.stderr

    def check(self, url: str) -> str:
        return run(self.folder, "check", "--database", url, **self.keys).stdout

    def rows(self, path: Path) -> list[dict[str, Any]]:
        with chosen("sqlite"):
            return [stored.rows(path, one.id) for one in self.organizations]


def live(url: str, organization: Organization) -> None:
    with client(url, organization.admin) as admin:
        for name in ("One", "Two"):
            body = {"name": name, "api_keys": {"openai_api_key": SECRET}}
            path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json=body).json()['id']}"
            for turn in range(8):
                assert admin.patch(path, json={"description": f"{turn}"}).status_code == 200
            label = {"label": "before-launch"}
            assert admin.put(f"{path}/versions/2/label", json=label).status_code == 200
            undone = admin.post(f"{path}/undo", json={"version": 9})
            assert undone.status_code == 200
        assert admin.put("/api/v1/policy", json={"require_reason": True}).status_code == 200
        assert admin.delete(f"{path}?change_description=done").is_success


@pytest.fixture
def moving(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


def test_an_installation_moves_to_postgresql_and_back_and_is_the_same(moving: Moving) -> None:
    code, said = moving.copy(moving.here, moving.server)
    assert code == 0, said
    assert moving.check(moving.server) == EQUAL
    code, said = moving.copy(moving.server, f"{SQLITE}:///{moving.back}")
    assert code == 0, said
    assert moving.check(f"{SQLITE}:///{moving.back}") == EQUAL
    assert moving.rows(moving.back) == moving.rows(moving.file)


def test_clients_go_on_where_it_was_copied_to_with_their_keys_and_secrets(moving: Moving) -> None:
    assert moving.copy(moving.here, moving.server)[0] == 0
    organization = moving.organizations[0]
    with (
        chosen("postgresql"),
        serving(moving.folder / "there", **moving.keys) as running,
        client(running.url, organization.runtime) as runtime,
        client(running.url, organization.editor) as editor,
    ):
        paths = {"paths": ["/api_keys"], "reason": "Call 7"}
        revealed = runtime.post(f"{ASSISTANTS}/1/secrets/reveal", json=paths)
        assert SECRET in revealed.text
        body = {"description": "there", "change_description": "moved"}
        assert editor.patch(f"{ASSISTANTS}/1", json=body).json()["version"] == 11


def test_a_run_that_was_interrupted_goes_on(moving: Moving) -> None:
    assert moving.copy(moving.here, moving.server, preamble=_INTERRUPTED)[0] == 9
    code, said = moving.copy(moving.here, moving.server)
    assert code == 0, said
    assert moving.check(moving.server) == EQUAL


def test_what_was_written_since_the_last_run_is_copied_by_the_next(moving: Moving) -> None:
    assert moving.copy(moving.here, moving.server)[0] == 0
    with (
        chosen("sqlite"),
        serving(moving.file) as running,
        client(running.url, moving.organizations[0].editor) as editor,
    ):
        body = {"description": "later", "change_description": "later"}
        assert editor.patch(f"{ASSISTANTS}/1", json=body).status_code == 200
    assert moving.copy(moving.here, moving.server)[0] == 0
    assert moving.check(moving.server) == EQUAL


def test_nothing_is_copied_over_another_log(moving: Moving) -> None:
    with chosen("sqlite"):
        make_organizations(moving.folder / "other.db", 2)
    before = moving.rows(moving.folder / "other.db")
    code, said = moving.copy(moving.here, f"{SQLITE}:///{moving.folder / 'other.db'}")
    assert code == 1
    assert "another log of organization 1" in said
    assert moving.rows(moving.folder / "other.db") == before


def test_nothing_is_copied_where_there_are_other_organizations(moving: Moving) -> None:
    with chosen("sqlite"):
        make_organizations(moving.folder / "other.db", 3)
    code, said = moving.copy(moving.here, f"{SQLITE}:///{moving.folder / 'other.db'}")
    assert (code, "organizations that are not in this one" in said) == (1, True)


def test_control_a_copy_that_lost_a_row_is_not_called_equal(moving: Moving) -> None:
    code, said = moving.copy(moving.here, moving.server, preamble=_FORGETFUL)
    assert code == 1
    assert "table sealed_secrets: not what was copied" in said


def test_control_a_copy_in_which_an_event_was_rewritten_is_not_called_equal(
    moving: Moving,
) -> None:
    assert moving.copy(moving.here, moving.server)[0] == 0
    with chosen("postgresql"):
        engine = writing_engine(moving.folder / "there")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER USER")
        rewritten = connection.exec_driver_sql(
            "UPDATE events SET body = body || ' '::bytea WHERE organization_id = 1 AND sequence = 3"
        )
        assert rewritten.rowcount == 1
    engine.dispose()
    code, said = moving.copy(moving.here, moving.server)
    assert (code, "organization 1, sequence 3: not what was copied" in said) == (1, True), said
