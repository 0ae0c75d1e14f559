"""A checkpoint is signed by the published key, and agrees with every later one."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.audit import signing
from app.audit.verify import Failed, read_keys, read_note, verify
from tests.conftest import (
    ASSISTANTS,
    Server,
    make_organizations,
    serving,
)

if TYPE_CHECKING:
    from pathlib import Path
from tests.app.audit.proof_checker import (
    AUDIT,
    EVENTS,
    Log,
    begin,
    consistency,
    inclusion,
    keys_of,
    proves_consistency,
    sign,
    unbase64,
)


def test_a_checkpoint_is_signed_by_the_key_that_is_published(log: Log, roots: list[bytes]) -> None:
    checkpoint = sign(log.admin)
    keys = keys_of(log.admin)
    assert (checkpoint.size, checkpoint.root) == (EVENTS, roots[EVENTS])
    assert checkpoint.origin == keys["origin"]
    checkpoint.verify(keys)
    (key,) = keys["keys"]
    assert key["current"] is True
    (public,) = unbase64(key["public_key"])
    # C2SP signed-note: what the id of a key is made of, and how the key itself is written.
    key_id = sha256(f"{keys['origin']}\n".encode() + b"\x01" + public).digest()[:4]
    assert checkpoint.key_id == key_id == bytes.fromhex(key["key_id"])
    typed = base64.b64encode(b"\x01" + public).decode()
    assert key["verifier_key"] == f"{keys['origin']}+{key_id.hex()}+{typed}"
    for number in range(len(checkpoint.text)):  # the control: no byte of it can be another
        edited = bytearray(checkpoint.text)
        edited[number] ^= 1
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(public).verify(checkpoint.signature, bytes(edited))


def test_a_checkpoint_is_plain_text_that_no_cache_keeps(log: Log) -> None:
    headers = log.admin.get(f"{AUDIT}/checkpoint").headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "text/plain; charset=utf-8"


def test_a_checkpoint_of_an_empty_log_is_the_hash_of_nothing(server: Server) -> None:
    with server.client(server.organization().admin) as admin:
        checkpoint = sign(admin)
        assert (checkpoint.size, checkpoint.root) == (0, sha256().digest())
        checkpoint.verify(keys_of(admin))
        assert consistency(admin, 0)["to_size"] == 0
        assert admin.get(f"{AUDIT}/checkpoints").json() == []


def test_logs_differ_in_their_origins(server: Server, log: Log) -> None:
    with server.client(server.organization().admin) as admin:
        assert keys_of(admin)["origin"] != keys_of(log.admin)["origin"]
        with pytest.raises(InvalidSignature):
            sign(admin).verify(keys_of(log.admin))


def test_a_checkpoint_agrees_with_every_later_one(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.admin) as admin:
        log = begin(server, organization, admin)
        made = [sign(admin)]
        for number in range(12):
            log.change(number)
            admin.get(f"{AUDIT}/export", params={"format": "csv"})
            made.append(sign(admin))
        assert [one.size for one in made] == [1, *range(3, 26, 2)]
        keys = keys_of(admin)
        for place, earlier in enumerate(made):
            earlier.verify(keys)
            for later in made[place:]:
                proof = consistency(admin, earlier.size, later.size)
                assert proves_consistency(proof, (earlier.root, later.root))
        exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        for one in made:
            verify(exported, read_keys(admin.get(f"{AUDIT}/key").content), read_note(one.note))
        # The control: a checkpoint with another root is of another log.
        with server.client(server.organization().admin) as other:
            begin(server, organization, other)
            foreign = read_note(sign(other).note)
        with pytest.raises(Failed):
            verify(exported, None, foreign)


def test_erased_secrets_break_no_proof(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.admin) as admin:
        log = begin(server, organization, admin)
        for number in range(9):
            log.change(number + 1)
        before, leaves = sign(admin), log.leaves
        proofs = [inclusion(admin, sequence, 10) for sequence in range(1, 11)]
        assert admin.delete(f"{ASSISTANTS}/1/secrets").json()["message"] != "0 secrets erased"
        assert admin.delete("/api/v1/vault/secrets").status_code == 200
        assert admin.post("/api/v1/vault/rotate", json={"data_keys": True}).status_code == 200
        assert log.leaves[:10] == leaves
        assert [inclusion(admin, sequence, 10) for sequence in range(1, 11)] == proofs
        after = sign(admin)
        assert after.size > before.size
        proof = consistency(admin, before.size, after.size)
        assert proves_consistency(proof, (before.root, after.root))
        exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        keys = read_keys(admin.get(f"{AUDIT}/key").content)
        assert verify(exported, keys, read_note(before.note)).events == after.size


def test_after_a_rotation_old_checkpoints_hold_under_the_new_keyfile(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    file = database.with_name(database.name + ".audit.key")
    made, keyfiles = [], []
    for run in range(3):
        with serving(database, []) as server, server.client(organization.admin) as admin:
            if not run:
                begin(server, organization, admin)
            log = Log(server=server, organization=organization, admin=admin)
            log.change(run + 1)
            made.append(sign(admin))
            keyfiles.append(admin.get(f"{AUDIT}/key"))
            exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        private = file.read_text("ascii").split()[0]
        signing.rotate(file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert private not in file.read_text("ascii")
    assert len({one.key_id for one in made}) == 3
    newest = keyfiles[-1].json()
    assert [key["current"] for key in newest["keys"]] == [True, False, False]
    assert [key["key_id"] for key in newest["keys"]] == [one.key_id.hex() for one in made[::-1]]
    keys = read_keys(keyfiles[-1].content)
    for one in made:
        one.verify(newest)
        assert verify(exported, keys, read_note(one.note)).events == len(exported) - 1
    # The control: the keyfile of before does not know the new key.
    for keyfile in keyfiles[:-1]:
        with pytest.raises(InvalidSignature):
            made[-1].verify(keyfile.json())
        with pytest.raises(Failed):
            verify(exported, read_keys(keyfile.content))
