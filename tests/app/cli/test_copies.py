"""A copy that somebody works with already is not written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.cli import copy
from app.cli.copy import NotACopy
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import Vault, open_vault
from events.bodies.patch import read_create, read_patch
from events.changed import Cause
from projections import current
from tests.conftest import make_organizations
from tests.databases import config_of, copy_database, reading_engine, text_of, writing_engine
from tests.end_to_end.processes import run

CALLER = system(1, "tests")


def create(unit: UnitOfWork) -> None:
    changes.create(unit, CALLER, read_create({"name": "Front desk"}))


def change(unit: UnitOfWork) -> None:
    request = ChangeRequest(caller=CALLER, assistant_id=1)
    changes.change(unit, request, read_patch({"name": "Night desk"}), Cause(type="patch"))


def write(engine: sa.Engine, safe: Vault, work: Callable[[UnitOfWork], Any]) -> None:
    with engine.begin() as connection:
        unit = UnitOfWork(connection, safe, utc_now)
        work(unit)
        unit.flush()


def copy_beside_a_change(source: Path, target: Path) -> str | None:
    """Copy to where somebody changes a name when the events are copied; what copying said."""
    safe = open_vault(config_of(source))
    here, there = reading_engine(source), writing_engine(target)
    is_changed = False

    def progress(_: int) -> None:
        nonlocal is_changed
        if not is_changed:
            is_changed = True
            write(there, safe, change)

    try:
        with here.connect() as reading:
            copy.copy(reading, there, progress)
    except NotACopy as error:
        return str(error)
    finally:
        here.dispose()
        there.dispose()
    return None


def name_shown(database: Path) -> Any:
    engine = reading_engine(database)
    with engine.connect() as connection:
        state = current.load(connection, 1, 1)
    engine.dispose()
    assert state is not None
    return state.settings["name"]


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_change_that_is_made_in_the_copy_while_it_is_copied_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    source = tmp_path / "here.db"
    make_organizations(source, 1)
    engine = writing_engine(source)
    write(engine, open_vault(config_of(source)), create)
    engine.dispose()
    target = copy_database(source, tmp_path / "there.db")
    if not is_guarded:
        monkeypatch.setattr(copy, "_check_not_in_use", lambda *_: None)
    refused = copy_beside_a_change(source, target)
    said = "the other database's log of organization 1 went on"
    assert (refused == said) is is_guarded
    assert name_shown(target) == ("Night desk" if is_guarded else "Front desk")
    assert name_shown(source) == "Front desk"


def test_a_copy_onto_itself_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "here.db"
    make_organizations(database, 1)
    ended = run(tmp_path, "copy", "--from", text_of(database), "--to", text_of(database))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "the same database" in ended.stderr
