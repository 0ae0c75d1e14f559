"""What an operator destroys is what stands when it is destroyed, whoever writes meanwhile.

Whatever the run is on, these are on PostgreSQL: a file's commands have it for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from app.assistants import changes, reversals
from app.assistants.requests import ChangeRequest
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from app.vault.sealing import SecretUnreadable
from events.bodies.patch import read_create, read_patch
from events.changed import Cause, SecretsErased
from events.errors import SecretsGone
from tests.conftest import make_organizations
from tests.databases import (
    chosen,
    config_of,
    text_of,
    wait_until_blocked,
    writing_engine,
)
from tests.end_to_end.acknowledged import log_of
from tests.end_to_end.processes import run

CALLER = system(1, "tests")
SECRET = {"api_keys": {"openai_api_key": "sk-live-7d1e"}}
# Who looks before it locks: the lock is taken only when the first secret is erased.
_LOOKS_FIRST = """
from app.assistants import secrets
from app.transactions.unit_of_work import UnitOfWork
from events import log_head
locked, erase = UnitOfWork.log_head, secrets.erase_assistant
def late(self, organization_id):
    if hasattr(self, "is_late"):
        return locked(self, organization_id)
    return log_head.read_head(self._connection, organization_id)
def lock_and_erase(unit, *arguments):
    unit.is_late = True
    return erase(unit, *arguments)
UnitOfWork.log_head = late
UnitOfWork.lock = lambda self, organization_ids: set()
UnitOfWork.save_time = lambda self, organization_id: None
secrets.erase_assistant = lock_and_erase
"""
GUARDS = pytest.mark.parametrize(("preamble", "is_guarded"), [("", True), (_LOOKS_FIRST, False)])


@pytest.fixture(autouse=True)
def _on_postgresql() -> Iterator[None]:
    with chosen("postgresql"):
        yield


class Installation:
    """A database, whoever writes it, and the operator's commands beside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_organizations(path, 1)
        self._safe = open_vault(config_of(path))
        self._engine = writing_engine(path)

    def write(self, *work: Callable[[UnitOfWork], Any]) -> None:
        with self._engine.begin() as connection:
            self._do(connection, *work)

    def write_beside(
        self, command: tuple[str, ...], preamble: str, *work: Callable[[UnitOfWork], Any]
    ) -> CompletedProcess[str]:
        """Write, and commit only when the command waits for the organization's lock."""
        with ThreadPoolExecutor(1) as pool:
            with self._engine.begin() as connection:
                self._do(connection, *work)
                running = pool.submit(self._run, command, preamble)
                wait_until_blocked(self.path, lambda: not running.done())
            return running.result()

    def _do(self, connection: Any, *work: Callable[[UnitOfWork], Any]) -> None:
        unit = UnitOfWork(connection, self._safe, utc_now)
        for one in work:
            one(unit)
        unit.flush()

    def _run(self, command: tuple[str, ...], preamble: str) -> CompletedProcess[str]:
        arguments = (*command, "--database", text_of(self.path))
        settings = {"BACKSTORY_SECRET_GRACE": "0s"}
        return run(self.path.parent, *arguments, preamble=preamble, **settings)

    def opens(self, assistant_id: int) -> bool:
        """Whether the assistant has its secret, and it opens."""
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            try:
                found = unit.reveal(CALLER, assistant_id, ("/api_keys",), None)
            except (SecretUnreadable, SecretsGone):
                return False
            return list(found.values()) == ["sk-live-7d1e"]

    def erased(self) -> set[int]:
        """The assistants whose secrets were erased, as the log says."""
        return {e.assistant_id for e in log_of(self.path, 1) if isinstance(e, SecretsErased)}

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "backstory.db")
    yield made
    made.close()


def create(unit: UnitOfWork, **members: Any) -> None:
    changes.create(unit, CALLER, read_create({"name": "Front desk"} | members))


def create_with_a_secret(unit: UnitOfWork) -> None:
    create(unit, **SECRET)


def delete(unit: UnitOfWork) -> None:
    changes.delete(unit, ChangeRequest(caller=CALLER, assistant_id=1))


def restore(unit: UnitOfWork) -> None:
    reversals.restore(unit, ChangeRequest(caller=CALLER, assistant_id=1))


def set_secret_of_the_second(unit: UnitOfWork) -> None:
    change_request = ChangeRequest(caller=CALLER, assistant_id=2)
    changes.change(unit, change_request, read_patch(SECRET), Cause(type="patch"))


@GUARDS
def test_a_purge_leaves_an_assistant_that_is_restored_meanwhile_its_secrets(
    installation: Installation, preamble: str, *, is_guarded: bool
) -> None:
    installation.write(create_with_a_secret, delete)
    ended = installation.write_beside(("vault", "purge"), preamble, restore)
    assert ended.returncode == 0, ended.stderr
    assert installation.opens(1) is is_guarded
    assert installation.erased() == (set() if is_guarded else {1})


@GUARDS
def test_an_erasure_records_of_every_secret_that_it_destroys_that_it_did(
    installation: Installation, preamble: str, *, is_guarded: bool
) -> None:
    installation.write(create_with_a_secret, create)
    command = ("erase", "--organization", "Organization 0", "--yes")
    ended = installation.write_beside(command, preamble, set_secret_of_the_second)
    assert ended.returncode == 0, ended.stderr
    assert not any(installation.opens(number) for number in (1, 2))
    assert installation.erased() == ({1, 2} if is_guarded else {1})
