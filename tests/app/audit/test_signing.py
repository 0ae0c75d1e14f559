from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec import structs

from app.audit import checkpoints, signing
from app.audit.checkpoints import CheckpointContradicted, RecordedCheckpoint, copy_checkpoint
from app.audit.signing import AuditKeyMissing
from app.config import Config
from app.services import utc_now
from app.storage.engines import engines
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.tables import organizations
from tests.conftest import make_organizations
from tests.databases import config_of

ORIGIN = "backstory/organizations/1/0f"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A database with one organization, and the key that signs its log."""
    make_organizations(tmp_path / "backstory.db", 1)
    return config_of(tmp_path / "backstory.db")


def record_a_checkpoint(config: Config) -> RecordedCheckpoint:
    signer = signing.open_signer(config)
    engine = engines(config.url).commands()
    with engine.begin() as connection:
        connection.execute(sa.update(organizations).values(checkpoint_sequence=-1))
        unit = UnitOfWork(connection, open_vault(config), utc_now)
        made = checkpoints.record_checkpoint(signer, 1, unit)
        unit.flush()
    engine.dispose()
    assert made is not None
    return made


# -- a key that is lost


@pytest.mark.sqlite
def test_a_lost_key_is_not_replaced_where_a_log_holds_checkpoints(config: Config) -> None:
    record_a_checkpoint(config)
    file = signing.key_file(config)
    file.unlink()
    with pytest.raises(AuditKeyMissing, match="put it back"):
        signing.open_signer(config)
    assert not file.exists()


@pytest.mark.sqlite
def test_control_where_nothing_was_signed_a_new_key_is_made(config: Config) -> None:
    file = signing.key_file(config)
    file.unlink()
    signing.open_signer(config)
    assert file.stat().st_mode & 0o777 == 0o600


def test_after_a_rotation_the_old_key_is_still_known(config: Config) -> None:
    (old,) = signing.open_signer(config).keys(ORIGIN)
    signing.rotate(signing.key_file(config))
    new, retired = signing.open_signer(config).keys(ORIGIN)
    assert (new.current, retired.current) == (True, False)
    assert structs.replace(retired, current=True) == old
    assert new.public_key != old.public_key


# -- what left the server


def checkpoint(text: str) -> RecordedCheckpoint:
    note = f"{ORIGIN}\n6\n{text}\n"
    return RecordedCheckpoint(sequence=7, size=6, recorded_at=utc_now(), checkpoint=note)


def test_a_copy_that_left_the_server_is_never_overwritten(tmp_path: Path) -> None:
    first, second = checkpoint("true"), checkpoint("rewritten")
    copy_checkpoint(tmp_path, first)
    copy_checkpoint(tmp_path, first)  # the same again is nothing new
    (file,) = tmp_path.iterdir()
    with pytest.raises(CheckpointContradicted):
        copy_checkpoint(tmp_path, second)
    assert file.read_text("utf-8") == first.checkpoint
    assert {path.read_text("utf-8") for path in tmp_path.iterdir()} == {
        first.checkpoint,
        second.checkpoint,
    }


def test_two_logs_of_one_size_have_copies_of_their_own(tmp_path: Path) -> None:
    one = checkpoint("true")
    copy_checkpoint(tmp_path, one)
    copy_checkpoint(tmp_path, structs.replace(one, checkpoint="backstory/organizations/1/99\n6\n"))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_recorded_checkpoint_signs_all_events_before_it(config: Config) -> None:
    made = record_a_checkpoint(config)
    engine = engines(config.url).snapshots()
    with engine.connect() as connection:
        signer = signing.open_signer(config)
        assert made.checkpoint == checkpoints.checkpoint_at(connection, signer, 1, made.size)
    engine.dispose()
