"""The vault: seals secrets before they are events, and keeps the only ciphertexts.

A master key, which never is in the database, wraps each organization's own keys:

- ``data``    AES-256-GCM, seals the organization's secrets
- ``pepper``  HMAC-SHA256, hashes the organization's API keys

A ciphertext is bound (AAD) to its organization, assistant, path and id: moved to another row,
it does not open.
"""

from __future__ import annotations

import base64
import hmac
import secrets as entropy
from contextlib import suppress
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from app.storage.engines import MASTER_KEY, engines, mark_for_scrub
from app.storage.tables import sealed_secrets, vault_keys
from app.vault import key_files
from events import codec
from events.log_head import organization_ids
from events.pointers import MARK, Path, join
from events.secrets.addresses import looks_like_address
from events.secrets.references import ADDRESS, SecretPlacement, revealed
from events.secrets.values import Plain, url_members
from events.store import read_body
from events.tables import rows_of, to_micros
from events.upcasters import former

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from app.config import Config
    from events.pointers import Tree

Purpose = Literal["data", "pepper"]
_PURPOSES: tuple[Purpose, ...] = ("data", "pepper")
_log = structlog.get_logger(__name__)
_NONCE_BYTES = 12  # 96 bits, random for each ciphertext


class MasterKeyError(Exception):
    """The master key is missing, malformed, or not the one that wrapped this database's keys."""


class Sealed(Struct, frozen=True, eq=False):
    """A secret that has a reference and waits for its event before it is encrypted."""

    plain: Plain
    path: Path


class Key(Struct, frozen=True, eq=False):
    """One unwrapped key of an organization."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.key_id})"


class Keys(Struct, frozen=True, eq=False):
    """What seals an organization's secrets. New ones are sealed under ``data``."""

    data: Key
    pepper: Key


class SecretUnreadable(Exception):
    """A ciphertext does not open where it stands: it was moved, changed, or lost its key."""

    def __init__(self, secret_id: str) -> None:
        super().__init__(f"the sealed secret {secret_id} does not open")
        self.secret_id = secret_id


def read_master_keys(config: Config) -> tuple[bytes, ...]:
    """The master keys that are configured, newest first; none where the default file serves.

    Raises ``ConfigError`` for a key that is not 32 bytes in base64.
    """
    found = key_files.configured("MASTER_KEY", config.master_key, config.master_key_file)
    return _decode_keys(*found) if found else ()


def embedded_master_keys(file: FilePath, *, make: bool) -> tuple[tuple[bytes, ...], bool]:
    """The keys in ``<database>.key``, and whether the file was made just now.

    Raises ``MasterKeyError`` where there is no file and none may be made: a database that has
    keys already must not get a new master key.
    """
    if file.exists():
        return _decode_keys(key_files.read(file, str(file)), str(file)), False
    if not make:
        raise MasterKeyError(
            f"the master key file {file} is missing; put it back, or set BACKSTORY_MASTER_KEY"
        )
    key = entropy.token_bytes(key_files.KEY_BYTES)
    key_files.make(file, base64.b64encode(key).decode() + "\n")
    return (key,), True


def _decode_keys(text: str, source: str) -> tuple[bytes, ...]:
    return tuple(key_files.decode(word, source) for word in key_files.words(text, source))


def open_vault(config: Config) -> Vault:
    """The vault of a migrated database, proven to open every key in it.

    Raises ``MasterKeyError``. The embedded default makes ``<database>.key`` on first start.
    """
    database = engines(config.url)
    engine = database.snapshots()
    try:
        with engine.connect() as connection:
            made = organization_ids(connection)
            masters = read_master_keys(config)
            if not masters:
                file = database.key_file(MASTER_KEY)
                if file is None:
                    raise MasterKeyError(
                        "BACKSTORY_MASTER_KEY: set it, or BACKSTORY_MASTER_KEY_FILE: a server's"
                        " database has no file beside it that could hold the key"
                    )
                masters, is_new = embedded_master_keys(file, make=not made)
                if is_new:
                    _log.warning(
                        "master_key_made",
                        file=str(file),
                        advice="back it up, apart from the database: without it secrets are lost",
                    )
            vault = Vault(masters)
            for organization_id in made:
                vault.keys(connection, organization_id)
    finally:
        engine.dispose()
    return vault


class Vault:
    """Seals under the keys of an organization, which the newest master key wraps."""

    def __init__(self, master_keys: tuple[bytes, ...]) -> None:
        self._master_keys = master_keys
        self._masters = tuple(AESGCM(key) for key in master_keys)
        self._peppers: dict[int, Key] = {}  # they never change

    # -- keys

    def make_keys(
        self,
        connection: sa.Connection,
        organization_id: int,
        now: datetime,
        purposes: tuple[Purpose, ...] = _PURPOSES,
    ) -> None:
        """Give an organization keys, in the transaction that makes it or renews them."""
        rows = []
        for purpose in purposes:
            key = Key(entropy.token_hex(8), entropy.token_bytes(key_files.KEY_BYTES))
            rows.append(
                {
                    "organization_id": organization_id,
                    "key_id": key.key_id,
                    "purpose": purpose,
                    "wrapped": self._wrap(key, organization_id, purpose),
                    "created_at": to_micros(now),
                }
            )
        connection.execute(sa.insert(vault_keys), rows)

    def keys(self, connection: sa.Connection, organization_id: int) -> Keys:
        """An organization's keys as this transaction sees them.

        Never remembered: a transaction that is rolled back must not leave a key behind that
        nobody has stored. Raises ``MasterKeyError`` where no master key opens them.
        """
        rows = connection.execute(rows_of(vault_keys, organization_id)).all()
        opened = {
            row.purpose: Key(row.key_id, self._unwrap(row.wrapped, organization_id, row))
            for row in rows
        }
        return Keys(**opened)

    def pepper(self, connection: sa.Connection, organization_id: int) -> Key | None:
        """What an organization's API keys are hashed with; None where there is none such."""
        if organization_id not in self._peppers:
            query = rows_of(vault_keys, organization_id).where(vault_keys.c.purpose == "pepper")
            row = connection.execute(query).one_or_none()
            if row is None:  # it may be made later
                return None
            secret = self._unwrap(row.wrapped, organization_id, row)
            self._peppers[organization_id] = Key(row.key_id, secret)
        return self._peppers[organization_id]

    def rewrap(self, connection: sa.Connection, organization_id: int) -> None:
        """Wrap an organization's keys under the newest master key; nothing else is touched."""
        mark_for_scrub(connection)  # the older master key opens the older bytes
        for row in connection.execute(rows_of(vault_keys, organization_id)).all():
            key = Key(row.key_id, self._unwrap(row.wrapped, organization_id, row))
            connection.execute(
                sa.update(vault_keys)
                .where(
                    vault_keys.c.organization_id == organization_id,
                    vault_keys.c.key_id == row.key_id,
                )
                .values(wrapped=self._wrap(key, organization_id, row.purpose))
            )

    def renew_data_key(
        self, connection: sa.Connection, organization_id: int, now: datetime
    ) -> None:
        """Seal an organization's ciphertexts anew, under a new key, and destroy the old one."""
        old = self.keys(connection, organization_id).data
        rows = connection.execute(rows_of(sealed_secrets, organization_id)).all()
        texts = [_decrypt(old, row, row.ciphertext) for row in rows]
        self._destroy_keys(connection, organization_id, ("data",))
        self.make_keys(connection, organization_id, now, ("data",))
        new = self.keys(connection, organization_id).data
        update = (
            sa.update(sealed_secrets)
            .where(
                sealed_secrets.c.organization_id == organization_id,
                sealed_secrets.c.secret_id == sa.bindparam("of_secret"),
            )
            .values(key_id=new.key_id, ciphertext=sa.bindparam("resealed"))
        )
        resealed = [
            {"of_secret": row.secret_id, "resealed": _encrypt(new, row, text)}
            for row, text in zip(rows, texts, strict=True)
        ]
        if resealed:
            connection.execute(update, resealed)

    def destroy_all(self, connection: sa.Connection, organization_id: int, now: datetime) -> None:
        """Destroy an organization's ciphertexts and the keys that they were sealed under."""
        connection.execute(
            sa.delete(sealed_secrets).where(sealed_secrets.c.organization_id == organization_id)
        )
        self._destroy_keys(connection, organization_id, ("data",))
        self.make_keys(connection, organization_id, now, ("data",))

    def _destroy_keys(
        self, connection: sa.Connection, organization_id: int, purposes: tuple[Purpose, ...]
    ) -> None:
        mark_for_scrub(connection)
        connection.execute(
            sa.delete(vault_keys).where(
                vault_keys.c.organization_id == organization_id,
                vault_keys.c.purpose.in_(purposes),
            )
        )

    def derived(self, use: str) -> tuple[bytes, ...]:
        """Keys for a use outside the database, one for each master key, newest first."""
        info = f"backstory {use}".encode()
        return tuple(
            HKDF(SHA256(), key_files.KEY_BYTES, salt=None, info=info).derive(key)
            for key in self._master_keys
        )

    def _wrap(self, key: Key, organization_id: int, purpose: str) -> bytes:
        nonce = entropy.token_bytes(_NONCE_BYTES)
        bound = _bind("key", organization_id, purpose, key.key_id)
        return nonce + self._masters[0].encrypt(nonce, key.secret, bound)

    def _unwrap(self, wrapped: bytes, organization_id: int, row: sa.Row[Any]) -> bytes:
        bound = _bind("key", organization_id, row.purpose, row.key_id)
        for master in self._masters:
            with suppress(InvalidTag):
                return master.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], bound)
        raise MasterKeyError(
            "the master key does not open this database's keys; give the one it was made with"
        )


class Ciphertext(Struct, frozen=True, kw_only=True):
    """What a ciphertext is bound to, beside the key that sealed it."""

    organization_id: int
    secret_id: str
    assistant_id: int
    path: str


def seal_one(
    data: Key, organization_id: int, assistant_id: int, secret_id: str, sealed: Sealed
) -> dict[str, Any]:
    """A secret as its row: encrypted, and bound to where it stands."""
    row = Ciphertext(
        organization_id=organization_id,
        secret_id=secret_id,
        assistant_id=assistant_id,
        path=join(sealed.path),
    )
    ciphertext = _encrypt(data, row, msgspec.json.encode(sealed.plain.value))
    return msgspec.structs.asdict(row) | {"key_id": data.key_id, "ciphertext": ciphertext}


def make_reference(plain: Plain, version: int) -> Tree:
    """What takes a secret's place in the event of a version: a new id, whatever the value is."""
    said: Tree = {"id": f"{version}.{entropy.token_hex(16)}"}
    if plain.url is None and looks_like_address(plain.value):
        said[ADDRESS] = True
    return {MARK: said} | url_members(plain)


def store(
    connection: sa.Connection,
    organization_id: int,
    data: Key,
    secrets: Iterable[tuple[int, str, Sealed]],
) -> None:
    """Encrypt secrets, given as (assistant, id, value), that an event now refers to."""
    rows = [seal_one(data, organization_id, *secret) for secret in secrets]
    if rows:
        connection.execute(sa.insert(sealed_secrets), rows)


def unseal(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    data: Key,
    standing: dict[str, SecretPlacement],
) -> dict[str, str | int | float]:
    """The values that references stand for, each as it stands at its place.

    Raises ``SecretUnreadable``.
    """
    query = rows_of(sealed_secrets, organization_id).where(
        sealed_secrets.c.assistant_id == assistant_id
    )
    stored = {row.secret_id: row for row in connection.execute(query)}
    unsealed = {}
    for at, one in standing.items():
        if (row := stored.get(one.reference[MARK]["id"])) is not None:
            value = _unseal_one(row, organization_id, assistant_id, data, one)
        else:
            value = _never_sealed(connection, organization_id, assistant_id, one)
        unsealed[at] = revealed(one.reference, value)
    return unsealed


def _unseal_one(
    row: sa.Row[Any], organization_id: int, assistant_id: int, data: Key, one: SecretPlacement
) -> Any:
    path = join(one.bound)
    # Bound to what was asked for, not to what the row says of itself.
    asked = Ciphertext(
        organization_id=organization_id,
        secret_id=one.reference[MARK]["id"],
        assistant_id=assistant_id,
        path=row.path if row.path in former(path) else path,
    )
    return msgspec.json.decode(_decrypt(data, asked, row.ciphertext))


def _never_sealed(
    connection: sa.Connection, organization_id: int, assistant_id: int, one: SecretPlacement
) -> Any:
    """A value that its event holds, because it was no secret then."""
    secret_id = one.reference[MARK]["id"]
    version, _, _ = secret_id.partition(".")
    body = read_body(connection, organization_id, assistant_id, int(version))
    found = {} if body is None else codec.plain_secrets(body)
    if secret_id not in found:
        raise SecretUnreadable(secret_id)
    return found[secret_id]


def existing(connection: sa.Connection, organization_id: int, assistant_id: int) -> frozenset[str]:
    """The ids of an assistant's secrets whose values are still there."""
    query = rows_of(sealed_secrets, organization_id, sealed_secrets.c.secret_id)
    return frozenset(connection.scalars(query.where(sealed_secrets.c.assistant_id == assistant_id)))


def with_secrets(connection: sa.Connection, organization_id: int) -> list[int]:
    """The assistants of which sealed values are there, deleted ones too."""
    assistant_id = sealed_secrets.c.assistant_id
    query = rows_of(sealed_secrets, organization_id, assistant_id).distinct()
    return list(connection.scalars(query.order_by(assistant_id)))


def destroy(connection: sa.Connection, organization_id: int, assistant_id: int) -> None:
    """Destroy an assistant's ciphertexts."""
    mark_for_scrub(connection)
    connection.execute(
        sa.delete(sealed_secrets).where(
            sealed_secrets.c.organization_id == organization_id,
            sealed_secrets.c.assistant_id == assistant_id,
        )
    )


def seal_answer(keys: Keys, text: bytes, *bound: str | int) -> bytes:
    """A stored answer, sealed and bound to its request.

    Under a key that is made of the pepper: rotation and erasure must not let a retry run twice.
    """
    nonce = entropy.token_bytes(_NONCE_BYTES)
    return nonce + _answers_key(keys).encrypt(nonce, text, _bind("answer", *bound))


def open_answer(keys: Keys, sealed: bytes, *bound: str | int) -> bytes:
    """A stored answer again; raises ``SecretUnreadable``."""
    nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return _answers_key(keys).decrypt(nonce, text, _bind("answer", *bound))
    except InvalidTag:
        raise SecretUnreadable("answer") from None


def _answers_key(keys: Keys) -> AESGCM:
    return AESGCM(hmac.digest(keys.pepper.secret, b"backstory stored answers", "sha256"))


def digest(pepper: Key, token: str) -> bytes:
    """An API key as it is stored: HMAC-SHA256 under the organization's pepper."""
    return hmac.digest(pepper.secret, token.encode(), "sha256")


def _encrypt(key: Key, row: Ciphertext | sa.Row[Any], text: bytes) -> bytes:
    nonce = entropy.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key.secret).encrypt(nonce, text, _bind_secret(key, row))


def _decrypt(key: Key, row: Ciphertext | sa.Row[Any], sealed: bytes) -> bytes:
    nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(key.secret).decrypt(nonce, text, _bind_secret(key, row))
    except InvalidTag:
        raise SecretUnreadable(row.secret_id) from None


def _bind_secret(key: Key, row: Ciphertext | sa.Row[Any]) -> bytes:
    place = (row.organization_id, row.assistant_id, row.path, row.secret_id)
    return _bind("secret", *place, key.key_id)


def _bind(*parts: str | int) -> bytes:
    return msgspec.json.encode(["backstory", *parts])
