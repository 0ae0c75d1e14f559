"""After an erasure, while the server goes on: no byte of its files opens the values.

What is searched for are the ciphertexts, because whoever has the files may have the master key.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ASSISTANTS, make_organizations, serving_process


def backup(database: Path, folder: Path) -> bytes:
    """Every byte of a copy of the database and of its log of writes."""
    folder.mkdir()
    files = [database, database.with_name(database.name + "-wal")]
    for file in files:
        shutil.copy(file, folder / file.name)
    return b"".join((folder / file.name).read_bytes() for file in files)


def column(database: Path, query: str) -> list[bytes]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(query)]


pytestmark = pytest.mark.sqlite


@pytest.mark.parametrize("route", [f"{ASSISTANTS}/1/secrets", "/api/v1/vault/secrets"])
def test_a_backup_that_is_taken_after_an_erasure_opens_nothing(tmp_path: Path, route: str) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving_process(database, []) as server, server.client(tenant.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "x", "api_keys": {"a": "sk-first"}})
        admin.patch(f"{ASSISTANTS}/1", json={"api_keys": {"a": "sk-second"}})
        ciphertexts = column(database, "SELECT ciphertext FROM sealed_secrets")
        assert len(ciphertexts) == 2
        before = backup(database, tmp_path / "before")
        assert all(ciphertext in before for ciphertext in ciphertexts)  # the control

        assert admin.delete(route).status_code == 200

        after = backup(database, tmp_path / "after")
        assert not any(ciphertext in after for ciphertext in ciphertexts)
        assert admin.get(f"{ASSISTANTS}/1").json()["api_keys"] == {"a": "erased"}


def test_after_a_rotation_of_data_keys_the_old_key_is_gone_too(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving_process(database, []) as server, server.client(tenant.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "x", "api_keys": {"a": "sk-first"}})
        wrapped = column(database, "SELECT wrapped FROM vault_keys")
        assert admin.post("/api/v1/vault/rotate", json={"data_keys": True}).status_code == 200
        after = backup(database, tmp_path / "after")
        assert not any(key in after for key in wrapped)
        revealed = admin.post(f"{ASSISTANTS}/1/secrets/reveal", json={"paths": ["/api_keys"]})
        assert revealed.json()["secrets"] == {"/api_keys/a": "sk-first"}
