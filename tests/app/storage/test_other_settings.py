"""A database whose views a release with other settings wrote."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import sqlalchemy as sa

from app.storage import schema
from app.storage.schema import NewerSettings, NotFolded, migrate, prepare
from events import codec
from events.codec import NewerEvent
from events.shape import DIGEST
from projections import check, current, foldings, keyframes, rebuild, stale
from tests.conftest import ASSISTANTS, Organization, make_organizations, serving
from tests.databases import reading_engine, url_of, writing_engine
from tests.end_to_end.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

VERSIONS = 66
OTHER = "other settings"


class Old(msgspec.Struct, frozen=True):
    """A database, who is in it, and what its assistant is."""

    path: Path
    organization: Organization
    shown: dict[str, Any]

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        with (
            serving(self.path, [self.organization]) as server,
            server.client(self.organization.admin) as admin,
        ):
            yield admin

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        engine = reading_engine(self.path)
        with engine.connect() as connection:
            found = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        engine.dispose()
        return found

    def digests(self) -> set[str]:
        tables = (current.assistants, keyframes.keyframes)
        return {row["settings_digest"] for table in tables for row in self.rows(table)}

    def is_whole(self) -> bool:
        engine = reading_engine(self.path)
        with engine.connect() as connection:
            found = list(check.differences(connection, lambda _: None))
        engine.dispose()
        return not found


@pytest.fixture
def old(tmp_path: Path) -> Old:
    """Every state is one that another release folded: without a member, with another digest."""
    path = tmp_path / "backstory.db"
    (organization,) = make_organizations(path, 1)
    with serving(path, [organization]) as server, server.client(organization.admin) as admin:
        made = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
        for number in range(VERSIONS - 1):
            admin.patch(f"{ASSISTANTS}/{made['id']}", json={"idle_timeout": number})
        shown = admin.get(f"{ASSISTANTS}/{made['id']}").json()
    found = Old(path, organization, shown)
    (row,) = found.rows(current.assistants)
    (frame,) = found.rows(keyframes.keyframes)
    state = msgspec.json.decode(frame["state"])
    values = {"settings": without_a_member(msgspec.json.decode(row["settings"]))}
    frames = {"state": msgspec.json.encode(state | {"settings": {}})}
    execute(path, sa.update(current.assistants).values(settings_digest=OTHER, **values))
    execute(path, sa.update(keyframes.keyframes).values(settings_digest=OTHER, **frames))
    execute(path, sa.update(foldings.foldings).values(settings_digest=OTHER))
    return found


def execute(path: Path, statement: sa.Executable) -> None:
    engine = writing_engine(path)
    with engine.begin() as connection:
        connection.execute(statement)
    engine.dispose()


def without_a_member(settings: dict[str, Any]) -> bytes:
    del settings["llm_settings"]["top_p"], settings["rag_settings"]
    return msgspec.json.encode(settings)


@pytest.fixture
def unfolded(old: Old, monkeypatch: pytest.MonkeyPatch) -> Old:
    """As beside servers of another release: nothing is folded when a server starts."""
    monkeypatch.setattr(schema, "fold", lambda *_: None)
    return old


def every_view(client: httpx.Client, number: int) -> list[Any]:
    place = f"{ASSISTANTS}/{number}"
    addresses = (
        place,
        f"{place}?version=1",
        f"{place}?version={VERSIONS - 1}",
        f"{place}/blame",
        f"{place}/settings-history?limit=3",
    )
    answers = [client.get(address) for address in (ASSISTANTS, *addresses)]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    return [answer.json() for answer in answers]


def test_a_state_that_others_folded_is_folded_from_the_events(unfolded: Old) -> None:
    number = unfolded.shown["id"]
    with unfolded.client() as client:
        (listed,), shown, *others = every_view(client, number)
        assert listed == shown == unfolded.shown
        assert all("rag_settings" in one for one in others[:2])
        changed = client.patch(f"{ASSISTANTS}/{number}", json={"rag_settings": {"enabled": True}})
        assert changed.status_code == 200
        for body in ({"version": VERSIONS + 1}, {"version": 2, "on_conflict": "force"}):
            assert client.post(f"{ASSISTANTS}/{number}/undo", json=body).status_code == 200
        rollback = client.post(f"{ASSISTANTS}/{number}/rollback", json={"to_version": VERSIONS})
        assert rollback.status_code == 200
        back = client.get(f"{ASSISTANTS}/{number}").json()
    differing = {name for name in back if back[name] != unfolded.shown[name]}
    assert differing <= {"version", "updated_at"}


def test_control_a_state_that_others_folded_would_lack_what_they_did_not_know(
    unfolded: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "DIGEST", OTHER)
    with unfolded.client() as client:
        shown = client.get(f"{ASSISTANTS}/{unfolded.shown['id']}").json()
    assert "rag_settings" not in shown


def test_a_start_folds_what_is_little(old: Old) -> None:
    assert old.digests() == {OTHER}
    assert not old.is_whole()
    with old.client() as client:
        assert client.get(f"{ASSISTANTS}/{old.shown['id']}").json() == old.shown
    assert old.digests() == {DIGEST}
    assert old.is_whole()


def test_a_start_refuses_what_is_much_and_migrate_mends_it(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_FOLDED_AT_START", VERSIONS - 1)
    with pytest.raises(NotFolded, match=f"of {VERSIONS} events; run 'backstory migrate'"):
        prepare(url_of(old.path))
    assert old.digests() == {OTHER}
    counted: list[int] = []
    migrate(url_of(old.path), counted.append)
    assert sum(counted) == VERSIONS
    prepare(url_of(old.path))
    assert old.is_whole()


def test_migrate_folds_a_portion_in_each_transaction(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale, "_EVENTS", 1)
    number = old.shown["id"]
    engine = writing_engine(old.path)
    with engine.begin() as connection:
        assert number == stale.fold_stale(connection, old.organization.id, lambda _: None)
    with engine.begin() as connection:
        # From there on: what lies before is not looked through once more.
        connection.execute(sa.update(current.assistants).values(settings_digest=OTHER))
        assert stale.fold_stale(connection, old.organization.id, lambda _: None, number) is None
    engine.dispose()
    assert old.digests() == {OTHER, DIGEST}
    migrate(url_of(old.path))
    assert old.is_whole()


def test_a_release_that_was_superseded_serves_on_and_leaves_the_views_alone(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """The older of two releases on one database starts again, perhaps after a crash."""
    rows = [
        {"organization_id": old.organization.id, "settings_digest": digest, "position": position}
        for position, digest in enumerate((DIGEST, OTHER))
    ]
    execute(old.path, sa.delete(foldings.foldings))
    execute(old.path, sa.insert(foldings.foldings).values(rows))
    with old.client() as client:
        assert client.get(f"{ASSISTANTS}/{old.shown['id']}").json() == old.shown
    assert "settings_superseded" in capsys.readouterr().out
    assert old.digests() == {OTHER}
    with pytest.raises(NewerSettings, match="backstory rebuild"):
        migrate(url_of(old.path))
    engine = writing_engine(old.path)
    with engine.begin() as connection:
        rebuild.rebuild(connection, lambda _: None)
        assert not foldings.superseded(connection)
    engine.dispose()
    migrate(url_of(old.path))
    assert old.is_whole()


def test_a_release_does_not_start_over_events_that_only_a_newer_one_reads(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"organization_id": old.organization.id, "settings_digest": digest, "position": position}
        for position, digest in enumerate((DIGEST, OTHER))
    ]
    execute(old.path, sa.delete(foldings.foldings))
    execute(old.path, sa.insert(foldings.foldings).values(rows))
    prepare(url_of(old.path))  # the control: it reads them all
    monkeypatch.setattr(codec, "TODAY", codec.TODAY - {"assistant_created.v1"})
    with pytest.raises(NewerEvent, match=r"the log holds assistant_created\.v1"):
        prepare(url_of(old.path))
    execute(old.path, sa.delete(foldings.foldings))  # nor where it never folded them
    with pytest.raises(NewerEvent, match=r"the log holds assistant_created\.v1"):
        prepare(url_of(old.path))
    assert old.digests() == {OTHER}


@pytest.mark.parametrize("command", ["check", "rebuild"])
def test_an_event_that_only_a_newer_release_reads_ends_a_command_in_one_line(
    old: Old, command: str
) -> None:
    older = "from events import codec; codec.TODAY -= {'assistant_created.v1'}"
    ended = run(old.path.parent, command, preamble=older)
    assert ended.returncode == 1
    why = "the log holds assistant_created.v1, which only a newer release reads: use that release"
    assert ended.stderr.splitlines()[-1] == f"backstory: {why}"
    assert "Traceback" not in ended.stderr


def test_an_organization_of_this_release_has_nothing_to_fold(tmp_path: Path) -> None:
    path = tmp_path / "backstory.db"
    make_organizations(path, 2)
    engine = reading_engine(path)
    with engine.connect() as connection:
        assert foldings.pending(connection, [1, 2]) == []
        assert foldings.pending(connection, [1, 2, 3]) == [3]
    engine.dispose()


def test_what_servers_wrote_since_is_left_as_it_is(
    unfolded: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unfolded.client() as client:
        client.patch(f"{ASSISTANTS}/{unfolded.shown['id']}", json={"idle_timeout": 1000})
    monkeypatch.undo()
    migrate(url_of(unfolded.path))
    assert unfolded.is_whole()
