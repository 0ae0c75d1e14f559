"""The vault on a database of its own: keys, rotation, erasure down to the bytes, the purge."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from app.assistants import purging, secrets
from app.config import Config, ConfigError, read_config
from app.services import utc_now
from app.storage.schema import migrate
from app.storage.tables import sealed_secrets, vault_keys
from app.transactions.caller import Caller
from app.transactions.clock import Witness
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import (
    MasterKeyError,
    Vault,
    existing_master_keys,
    open_vault,
    read_master_keys,
)
from app.vault.sealing import SecretUnreadable, make_reference
from app.vault.store import count_secrets, existing_secrets, unseal
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from events.commands import ChangeSettings, CreateAssistant, DeleteAssistant, RestoreSettings
from events.pointers import MARK
from events.secrets.references import places
from events.secrets.values import Plain
from projections import check
from tests.conftest import make_organizations
from tests.databases import config_of, hold, query, writing_engine

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
CALLER = Caller(
    organization_id=1, actor=Actor(type="user", id=1, name="Ada", user_id=1), request_id=None
)


class Place:
    """One database, and transactions on it."""

    def __init__(self, path: Path, vault: Vault) -> None:
        self.path = path
        self.vault = vault
        self.now = utc_now()
        self.engine = writing_engine(path)

    def do(self, work: Any, witness: Witness | None = None) -> Any:
        with self.engine.begin() as connection:
            unit = UnitOfWork(connection, self.vault, lambda: self.now, witness=witness)
            result = work(unit)
            unit.flush()
        return result

    def create(self, body: dict[str, Any]) -> int:
        command = CreateAssistant(patch=read_create({"name": "x"} | body).tree)
        assistant_id: int = self.do(lambda unit: unit.handle(CALLER, None, command))[0]
        return assistant_id

    def change(self, assistant_id: int, body: dict[str, Any]) -> None:
        command = ChangeSettings(patch=read_patch(body).tree, cause=Cause(type="patch"))
        self.do(lambda unit: unit.handle(CALLER, assistant_id, command))

    def reveal(self, assistant_id: int, *paths: str) -> dict[str, Any]:
        values: dict[str, Any] = self.do(
            lambda unit: unit.reveal(CALLER, assistant_id, paths, None)
        )
        return values

    def rows(self, table: sa.Table) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.select(table))]

    def differences(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(check.differences(connection, lambda _: None))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    path = tmp_path / "vault.db"
    make_organizations(path, 1)
    vault = open_vault(config_of(path))
    made = Place(path, vault)
    yield made
    made.engine.dispose()


def test_rotating_the_master_key_touches_no_event_and_no_ciphertext(place: Place) -> None:
    assistant_id = place.create({"api_keys": {"a": "value"}})
    before = place.rows(sealed_secrets)
    wrapped = {row[1]: row[3] for row in place.rows(vault_keys)}
    log = query(place.path, "SELECT * FROM events ORDER BY sequence")
    file = place.path.with_name(place.path.name + ".key")
    old = base64.b64decode(file.read_text())

    place.vault = Vault((NEW, old))
    place.do(lambda unit: secrets.rotate(unit, CALLER, data_keys=False))
    place.vault = Vault((NEW,))

    assert place.rows(sealed_secrets) == before
    now = query(place.path, "SELECT * FROM events ORDER BY sequence")
    assert now[:-1] == log
    assert now[-1][6] == "secret_keys_rotated.v1"
    assert all(wrapped[row[1]] != row[3] for row in place.rows(vault_keys))
    assert place.reveal(assistant_id, "/api_keys") == {"/api_keys/a": "value"}
    with place.engine.connect() as connection, pytest.raises(MasterKeyError):
        Vault((old,)).keys(connection, 1)


def test_rotating_data_keys_seals_every_ciphertext_anew(place: Place) -> None:
    assistant_id = place.create({"api_keys": {"a": "value", "b": "other"}})
    before = {row[1]: row for row in place.rows(sealed_secrets)}
    place.do(lambda unit: secrets.rotate(unit, CALLER, data_keys=True))
    for row in place.rows(sealed_secrets):
        assert row[4:] != before[row[1]][4:]
    assert place.reveal(assistant_id, "/api_keys") == {
        "/api_keys/a": "value",
        "/api_keys/b": "other",
    }


def test_a_rotation_that_is_rolled_back_leaves_the_old_keys_in_use(place: Place) -> None:
    assistant_id = place.create({"api_keys": {"a": "value"}})

    def fail(unit: UnitOfWork) -> None:
        secrets.rotate(unit, CALLER, data_keys=True)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        place.do(fail)
    place.change(assistant_id, {"api_keys": {"b": "later"}})
    assert place.reveal(assistant_id, "/api_keys") == {
        "/api_keys/a": "value",
        "/api_keys/b": "later",
    }


def test_a_secret_set_and_a_rotation_in_one_transaction_agree(place: Place) -> None:
    def both(unit: UnitOfWork) -> int:
        command = CreateAssistant(patch=read_create({"name": "x", "api_keys": {"a": "v"}}).tree)
        assistant_id, _ = unit.handle(CALLER, None, command)
        secrets.rotate(unit, CALLER, data_keys=True)
        more = ChangeSettings(
            patch=read_patch({"api_keys": {"b": "w"}}).tree, cause=Cause(type="patch")
        )
        unit.handle(CALLER, assistant_id, more)
        assert unit.reveal(CALLER, assistant_id, ("/api_keys",), None) == {
            "/api_keys/a": "v",
            "/api_keys/b": "w",
        }
        return assistant_id

    assistant_id = place.do(both)
    assert len(place.reveal(assistant_id, "/api_keys")) == 2


@pytest.mark.parametrize("whole", [False, True])
def test_after_an_erasure_no_row_opens_the_values(place: Place, *, whole: bool) -> None:
    assistant_id = place.create({"api_keys": {"a": "value"}})
    place.change(assistant_id, {"api_keys": {"a": "second"}})
    ciphertexts = [row[5] for row in place.rows(sealed_secrets)]
    wrapped = [row[3] for row in place.rows(vault_keys) if row[2] == "data"]
    assert len(ciphertexts) == 2
    erase(place, None if whole else assistant_id)
    assert place.rows(sealed_secrets) == []
    kept = [row[3] for row in place.rows(vault_keys) if row[2] == "data"]
    assert set(wrapped).isdisjoint(kept) is whole
    assert place.differences() == []


def erase(place: Place, assistant_id: int | None) -> None:
    """Erase an assistant's secrets, or all of them."""
    cause = Cause(type="erase")
    if assistant_id is None:
        place.do(lambda unit: secrets.erase_organization(unit, CALLER, None, cause))
    else:
        place.do(lambda unit: secrets.erase_assistant(unit, CALLER, assistant_id, None, cause))


@pytest.mark.sqlite
@pytest.mark.parametrize("whole", [False, True])
def test_after_an_erasure_no_byte_of_the_file_opens_the_values(
    place: Place, *, whole: bool
) -> None:
    """What is searched for is the ciphertext itself, because its key may still be known."""
    assistant_id = place.create({"api_keys": {"a": "value"}, "description": "x" * 5000})
    place.change(assistant_id, {"api_keys": {"a": "second"}})
    ciphertexts = [row[5] for row in place.rows(sealed_secrets)]
    wrapped = [row[3] for row in place.rows(vault_keys) if row[2] == "data"]

    erase(place, None if whole else assistant_id)
    assert _left(place.path, ciphertexts), "before the scrub the log of writes still has them"
    place.engine.dispose()

    assert not _left(place.path, ciphertexts)
    assert not (whole and _left(place.path, wrapped))
    assert place.differences() == []


@pytest.mark.sqlite
def test_without_secure_delete_the_bytes_would_stay(place: Place) -> None:
    assistant_id = place.create({"api_keys": {"a": "value"}})
    ciphertexts = [row[5] for row in place.rows(sealed_secrets)]
    with place.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")
        unit = UnitOfWork(connection, place.vault, utc_now)
        secrets.erase_assistant(unit, CALLER, assistant_id, None, Cause(type="erase"))
        unit.flush()
        connection.commit()
    place.engine.dispose()
    assert _left(place.path, ciphertexts)


def _left(path: Path, needles: list[bytes]) -> list[bytes]:
    files = [path, path.with_name(path.name + "-wal")]
    data = b"".join(file.read_bytes() for file in files if file.exists())
    return [needle for needle in needles if needle in data]


def test_a_deleted_assistants_secrets_are_purged_after_the_grace_time(place: Place) -> None:
    assistant_id = place.create({"api_keys": {"a": "value"}})
    kept = place.create({"api_keys": {"a": "kept"}})
    place.do(lambda unit: unit.handle(CALLER, assistant_id, DeleteAssistant()))
    grace = timedelta(days=30)

    def purged() -> int:
        place.do(lambda unit: unit.confirm_time(1))
        count: int = place.do(lambda unit: purging.purge(1, grace, unit)).count
        return count

    place.now += timedelta(days=29)
    assert purged() == 0
    place.now += timedelta(days=1)
    assert purged() == 1
    assert purged() == 0

    assert place.reveal(kept, "/api_keys") == {"/api_keys/a": "kept"}
    assert place.differences() == []


@pytest.mark.parametrize("keeps", [True, False], ids=["", "control"])
def test_a_quiet_server_that_starts_each_day_purges_after_all(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, keeps: bool
) -> None:
    """No event vouches for its clock: what each of its processes saw is kept for the next."""
    place.create({"api_keys": {"a": "value"}})
    place.do(lambda unit: unit.handle(CALLER, 1, DeleteAssistant()))
    if not keeps:
        monkeypatch.setattr(UnitOfWork, "save_time", lambda *_: None)

    def monotonic() -> float:
        return place.now.timestamp()

    purged = []
    for _ in range(31):
        witness = Witness(monotonic)
        for hours in (0, 24):
            place.now += timedelta(hours=hours)
            purged.append(
                place.do(lambda unit: purging.purge(1, timedelta(days=30), unit), witness).count
            )
    assert sum(purged) == keeps
    assert not any(purged[: 2 * 30 - 1])


# -- what a secret is bound to, and what an erasure leaves


@pytest.mark.parametrize(
    ("moved", "organization_id", "assistant_id"),
    [({"bound": ("api_keys", "b")}, 1, 1), ({}, 2, 1), ({}, 1, 2)],
    ids=["path", "organization", "assistant"],
)
def test_a_ciphertext_opens_nowhere_but_where_it_was_sealed(
    place: Place, moved: dict[str, Any], organization_id: int, assistant_id: int
) -> None:
    place.create({"api_keys": {"a": "value"}})
    (standing,) = place.do(lambda unit: list(places(unit.state(AssistantKey(1, 1)).settings)))
    (row,) = place.rows(sealed_secrets)
    there = {"organization_id": organization_id, "assistant_id": assistant_id}
    at = structs.replace(standing, **moved)
    with place.engine.begin() as connection:
        data = place.vault.keys(connection, 1).data
        asked = (1, 1, data, {"it": standing})
        assert unseal(connection, *asked) == {"it": "value"}  # the control
        connection.execute(sa.update(sealed_secrets).values(**there))  # by who has the file
        with pytest.raises(SecretUnreadable, match=re.escape(row[1])):
            unseal(connection, organization_id, assistant_id, data, {"it": at})


@pytest.mark.parametrize("assistant_id", [1, 2])
def test_a_secret_without_a_ciphertext_or_a_plain_value_in_its_event_is_unreadable(
    place: Place, assistant_id: int
) -> None:
    place.create({"api_keys": {"a": "value"}})
    (standing,) = place.do(lambda unit: list(places(unit.state(AssistantKey(1, 1)).settings)))
    with place.engine.begin() as connection:
        data = place.vault.keys(connection, 1).data
        connection.execute(sa.delete(sealed_secrets))
        with pytest.raises(SecretUnreadable, match=re.escape(standing.reference[MARK]["id"])):
            unseal(connection, 1, assistant_id, data, {"it": standing})


def test_a_reference_is_a_new_one_each_time_and_says_nothing_of_the_value() -> None:
    references = [make_reference(Plain("value"), 7)[MARK] for _ in range(2)]
    assert references[0] != references[1]
    for reference in references:
        assert re.fullmatch(r"7\.[0-9a-f]{32}", reference.pop("id"))
        assert reference == {}


def test_after_an_erasure_nothing_confirms_the_values(place: Place) -> None:
    """The key that sealed is destroyed, and no other was made from the values."""
    place.create({"api_keys": {"a": "value"}})
    before = {row[2]: row[1] for row in place.rows(vault_keys)}
    wrapped = {row[3] for row in place.rows(vault_keys) if row[2] != "pepper"}
    place.do(lambda unit: secrets.erase_organization(unit, CALLER, None, Cause(type="erase")))
    rows = place.rows(vault_keys)
    after = {row[2]: row[1] for row in rows}
    assert sorted(after) == sorted(row[2] for row in rows) == ["data", "pepper"]
    assert [purpose for purpose in after if after[purpose] == before[purpose]] == ["pepper"]
    assert not wrapped.intersection(row[3] for row in rows)


NAMES = st.sampled_from(["a", "b"])
VALUES = st.sampled_from(["v1", "v2", "v3"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), NAMES, VALUES),
        st.tuples(st.just("mask"), NAMES),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("rollback"), st.integers(1, 8), st.booleans()),
        st.tuples(st.just("rotate"), st.booleans()),
        st.tuples(st.just("erase")),
    ),
    max_size=12,
)


def check_interleaving(place: Place, steps: list[tuple[Any, ...]]) -> None:
    """Whatever happens in whatever order: reveal gives what a plain dict would hold."""
    assistant_id = place.create({"api_keys": {}})
    model: dict[str, str | None] = {}  # None: erased
    states = [dict(model)]  # after version 1, 2, ...
    snapshots = [place.do(lambda unit: unit.state(AssistantKey(1, assistant_id)).settings)]
    for step in steps:
        match step:
            case ("set", name, value):
                place.change(assistant_id, {"api_keys": {name: value}})
                model = model | {name: value}
            case ("mask", name):
                place.change(assistant_id, {"api_keys": {name: "********"}})
            case ("remove", name):
                place.change(assistant_id, {"api_keys": {name: None}})
                model = {other: value for other, value in model.items() if other != name}
            case ("rotate", data_keys):
                place.do(lambda unit, d=data_keys: secrets.rotate(unit, CALLER, data_keys=d))
            case ("erase",):
                place.do(
                    lambda unit: secrets.erase_assistant(
                        unit, CALLER, assistant_id, None, Cause(type="erase")
                    )
                )
                model = dict.fromkeys(model)
                states = [dict.fromkeys(state) for state in states]
            case ("rollback", version, restore):
                target = min(version, len(states)) - 1
                restorable = (
                    place.do(lambda unit: unit.read(existing_secrets, 1, assistant_id))
                    if restore
                    else frozenset()
                )
                command = RestoreSettings(
                    settings=snapshots[target], to_version=target + 1, restorable=restorable
                )
                place.do(lambda unit, c=command: unit.handle(CALLER, assistant_id, c))
                if restore:
                    back = {n: v for n, v in states[target].items() if v is not None}
                    model = model | back
        states.append(dict(model))
        snapshots.append(place.do(lambda unit: unit.state(AssistantKey(1, assistant_id)).settings))
        _agree(place, assistant_id, model)
    assert place.differences() == []


def _agree(place: Place, assistant_id: int, model: dict[str, str | None]) -> None:
    for name in ("a", "b"):
        path = f"/api_keys/{name}"
        value = model.get(name)
        if name not in model:
            with pytest.raises(Exception, match="0"):
                place.reveal(assistant_id, path)
        elif value is None:
            with pytest.raises(Exception, match="api_keys"):
                place.reveal(assistant_id, path)
        else:
            assert place.reveal(assistant_id, path) == {path: value}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("vault") / "vault.db"
    make_organizations(path, 1)
    made = Place(path, open_vault(config_of(path)))
    yield made
    made.engine.dispose()


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_reveal_agrees_with_a_plain_model(shared: Place, steps: list[tuple[Any, ...]]) -> None:
    check_interleaving(shared, steps)


@pytest.mark.long
@given(STEPS)
@settings(max_examples=2000, deadline=None)
def test_reveal_agrees_with_a_plain_model_at_length(
    shared: Place, steps: list[tuple[Any, ...]]
) -> None:
    """pytest -m long tests/app/vault/test_vault.py"""
    check_interleaving(shared, steps)


@pytest.mark.parametrize(
    "text", ["", " ", "short", base64.b64encode(b"x" * 31).decode(), "é" * 44, "=" * 44]
)
def test_a_master_key_that_is_not_32_bytes_is_refused_without_being_repeated(text: str) -> None:
    config = Config(master_key=text or "x")
    with pytest.raises(ConfigError) as refusal:
        read_master_keys(config)
    assert str(refusal.value) == "BACKSTORY_MASTER_KEY: expected 32 bytes in base64"


def test_two_master_keys_may_be_given_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("\n".join(base64.b64encode(key).decode() for key in (NEW, OLD)) + "\n")
    config = read_config({"BACKSTORY_MASTER_KEY_FILE": str(file)})
    assert read_master_keys(config) == (NEW, OLD)


@pytest.mark.sqlite
def test_the_embedded_master_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    config = config_of(path)
    with hold(path):
        migrate(config.url)
    open_vault(config)
    file = tmp_path / "new.db.key"
    made = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    open_vault(config)
    assert file.read_bytes() == made


@pytest.mark.sqlite
def test_a_missing_master_key_of_a_used_database_is_not_replaced(place: Place) -> None:
    file = place.path.with_name(place.path.name + ".key")
    file.unlink()
    config = config_of(place.path)
    with pytest.raises(MasterKeyError):
        open_vault(config)
    assert not file.exists()


@pytest.mark.sqlite
def test_the_existing_master_keys_are_read_and_none_is_made(place: Place) -> None:
    file = place.path.with_name(place.path.name + ".key")
    config = config_of(place.path)
    assert existing_master_keys(config) == (base64.b64decode(file.read_text()),)
    file.unlink()
    with pytest.raises(MasterKeyError):
        existing_master_keys(config)
    assert not file.exists()


def test_the_pepper_is_that_of_the_organization_and_known_once_it_was_read(place: Place) -> None:
    vault = place.vault
    assert vault.known_pepper(1) is None
    with place.engine.connect() as connection:
        pepper = vault.pepper(connection, 1)
        assert pepper is not None
        assert pepper.secret == vault.keys(connection, 1).pepper.secret
        assert vault.known_pepper(1) is vault.pepper(connection, 1) is pepper
        assert vault.pepper(connection, 99) is None
    assert vault.known_pepper(99) is None


def test_sealed_values_are_counted_old_ones_too(place: Place) -> None:
    def count() -> int:
        with place.engine.connect() as connection:
            return count_secrets(connection, 1)

    assert count() == 0
    assistant_id = place.create({"api_keys": {"a": "1", "b": "2"}})
    place.change(assistant_id, {"api_keys": {"a": "3"}})
    assert count() == 3


def test_a_wrong_master_key_is_refused(place: Place) -> None:
    config = config_of(
        place.path,
        master_key=base64.b64encode(OLD).decode(),
    )
    with pytest.raises(MasterKeyError):
        open_vault(config)


def test_moments_of_events_never_run_backwards(place: Place) -> None:
    assistant_id = place.create({})
    place.now = datetime(2001, 1, 1, tzinfo=UTC)
    place.change(assistant_id, {"name": "y"})
    state = place.do(lambda unit: unit.state(AssistantKey(1, assistant_id)))
    assert state.updated_at >= state.created_at
