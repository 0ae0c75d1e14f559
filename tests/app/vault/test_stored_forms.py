"""What an earlier release sealed, hashed or derived stays readable: the forms of stored bytes."""

from __future__ import annotations

import base64

import pytest
import sqlalchemy as sa
from msgspec import structs

from app.storage.tables import vault_keys
from app.vault.keys import Key, Keys, MasterKeyError, Vault
from app.vault.sealing import (
    Ciphertext,
    SecretUnreadable,
    decrypt,
    encrypt,
    hash_token,
    open_answer,
    seal_answer,
)

MASTER = bytes(range(64, 96))
DATA, PEPPER = Key("1.data", bytes(range(32))), Key("1.pepper", bytes(range(32, 64)))
KEYS = Keys(DATA, PEPPER)
PLACE = Ciphertext(
    organization_id=7,
    secret_id="3.ab",  # noqa: S106  # an id
    assistant_id=5,
    path="/webhook_headers/X-Key",
)
# Stored bytes, which every later release must open. Their nonce is twelve zero bytes.
SEALED = base64.b64decode("AAAAAAAAAAAAAAAALM+GvcdJ95+wsj+YZuay8PYZkA16H8i5")
ANSWER = base64.b64decode("AAAAAAAAAAAAAAAAQmqsDhQIZhPFCHCgYnGLvOuIG4i8nA==")
WRAPPED = {
    "data": base64.b64decode(
        "AAAAAAAAAAAAAAAAWjUye5Bt1KzQgpL4M/BsST+TEo2CA6dGo73H5vItDFkNzWlCRFIugtpJueWsw65z"
    ),
    "pepper": base64.b64decode(
        "AAAAAAAAAAAAAAAAehUSW7BN9IzworLYE9BMaR+zMq2iI4dmg53nxtINLHl8VlFijJcr/q3hRkXoLvfI"
    ),
}
HASHED = "4871f4c542ba83eda8fd8b28e0d173e79cbc8c0c98801a41e67e50f4c1476647"
DERIVED = "a1e12a9c2a62553fdefe7b8e28ce644e8dcf3787e3f154842b00c0d41b5e0efe"


def test_a_secret_that_an_earlier_release_sealed_opens() -> None:
    assert decrypt(DATA, PLACE, SEALED) == b'"s3cret"'


@pytest.mark.parametrize(
    "other",
    [
        {"organization_id": 8},
        {"secret_id": "3.ac"},
        {"assistant_id": 6},
        {"path": "/webhook_headers/X-Other"},
    ],
)
def test_a_secret_opens_at_no_other_place(other: dict[str, str | int]) -> None:
    with pytest.raises(SecretUnreadable):
        decrypt(DATA, structs.replace(PLACE, **other), SEALED)


def test_an_answer_that_an_earlier_release_stored_opens_for_its_request_alone() -> None:
    assert open_answer(KEYS, ANSWER, "POST", 7) == b"answer"
    with pytest.raises(SecretUnreadable):
        open_answer(KEYS, ANSWER, "POST", 8)


def test_what_is_sealed_now_has_the_form_and_the_size_of_an_earlier_release() -> None:
    sealed, answer = encrypt(DATA, PLACE, b'"s3cret"'), seal_answer(KEYS, b"answer", "POST", 7)
    assert decrypt(DATA, PLACE, sealed) == b'"s3cret"'
    assert open_answer(KEYS, answer, "POST", 7) == b"answer"
    assert (len(sealed), len(answer)) == (len(SEALED), len(ANSWER))


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    assert len({encrypt(DATA, PLACE, b"s3cret")[:12] for _ in range(100)}) == 100
    assert len({seal_answer(KEYS, b"answer", 7)[:12] for _ in range(100)}) == 100


def test_an_api_key_has_the_hash_that_an_earlier_release_stored() -> None:
    assert hash_token(PEPPER, "bks_x").hex() == HASHED


def test_a_key_for_another_use_is_that_of_an_earlier_release() -> None:
    assert [key.hex() for key in Vault((MASTER,)).derive_keys("signing")] == [DERIVED]


def test_the_keys_that_an_earlier_release_wrapped_open_with_their_master_key_alone() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        vault_keys.create(connection)
        rows = [
            {"organization_id": 7, "key_id": f"1.{purpose}", "purpose": purpose, "wrapped": wrapped}
            for purpose, wrapped in WRAPPED.items()
        ]
        connection.execute(sa.insert(vault_keys).values(created_at=0), rows)
        opened = Vault((bytes(32), MASTER)).keys(connection, 7)
        assert (opened.data.secret, opened.pepper.secret) == (DATA.secret, PEPPER.secret)
        with pytest.raises(MasterKeyError):
            Vault((bytes(32),)).keys(connection, 7)
    engine.dispose()
