"""The vault: seals secrets before they are events, and keeps the only ciphertexts.

A master key, which never is in the database, wraps each organization's own keys:

- ``data``         AES-256-GCM, seals the organization's secrets
- ``fingerprint``  HMAC-SHA256, tells equal secrets from rotated ones
- ``pepper``       HMAC-SHA256, hashes the organization's API keys

A ciphertext is bound (AAD) to its organization, assistant, path and id: moved to another row,
it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets as entropy
from contextlib import suppress
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from app.config import ConfigError
from app.database import reading_engine
from events.pointers import join
from events.secrets import MARK, Path, Plain
from events.store import organization_ids
from events.tables import metadata, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from app.config import Config
    from events.pointers import Tree

Purpose = Literal["data", "fingerprint", "pepper"]
_PURPOSES: tuple[Purpose, ...] = ("data", "fingerprint", "pepper")
_KEY_BYTES = 32
_log = structlog.get_logger(__name__)
_NONCE_BYTES = 12  # 96 bits, random for each ciphertext

vault_keys = sa.Table(
    "vault_keys",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

sealed_secrets = sa.Table(
    "sealed_secrets",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("secret_id", sa.Text, primary_key=True),
    sa.Column("assistant_id", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    sa.Index("sealed_secrets_of", "organization_id", "assistant_id"),
)


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


Keys = dict[str, Key]  # by purpose


def read_master_keys(config: Config) -> tuple[bytes, ...]:
    """The master keys that are configured, newest first; none where the default file serves.

    Raises ``ConfigError`` for a key that is not 32 bytes in base64.
    """
    text = config.master_key
    if text is None and config.master_key_file:
        try:
            text = FilePath(config.master_key_file).read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"BACKSTORY_MASTER_KEY_FILE: {error.__class__.__name__}") from None
    return _decode_keys(text, "BACKSTORY_MASTER_KEY") if text else ()


def embedded_master_keys(path: FilePath, *, make: bool) -> tuple[tuple[bytes, ...], bool]:
    """The keys in ``<database>.key``, and whether the file was made just now.

    Raises ``MasterKeyError`` where there is no file and none may be made: a database that has
    keys already must not get a new master key.
    """
    file = path.with_name(path.name + ".key")
    if file.exists():
        return _decode_keys(file.read_text("ascii"), str(file)), False
    if not make:
        raise MasterKeyError(
            f"the master key file {file} is missing; put it back, or set BACKSTORY_MASTER_KEY"
        )
    key = entropy.token_bytes(_KEY_BYTES)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(base64.b64encode(key) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return (key,), True


def _decode_keys(text: str, source: str) -> tuple[bytes, ...]:
    keys = []
    for word in text.replace(",", " ").split():
        try:
            key = base64.b64decode(word, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != _KEY_BYTES:
            raise ConfigError(f"{source}: expected 32 bytes in base64")
        keys.append(key)
    if not keys:
        raise ConfigError(f"{source}: expected 32 bytes in base64")
    return tuple(keys)


def open_vault(config: Config) -> Vault:
    """The vault of a migrated database, proven to open every key in it.

    Raises ``MasterKeyError``. The embedded default makes ``<database>.key`` on first start.
    """
    path = config.database_path
    engine = reading_engine(path)
    try:
        with engine.connect() as connection:
            made = organization_ids(connection)
            masters = read_master_keys(config)
            if not masters:
                masters, is_new = embedded_master_keys(path, make=not made)
                if is_new:
                    _log.warning(
                        "master_key_made",
                        file=f"{path}.key",
                        advice="back it up, apart from the database: without it secrets are lost",
                    )
            vault = Vault(masters)
            for organization_id in made:
                vault.keys(connection, organization_id)
    finally:
        engine.dispose()
    return vault


class Vault:
    """Seals under the keys of an organization. Keys are unwrapped once and kept in memory."""

    def __init__(self, master_keys: tuple[bytes, ...]) -> None:
        self._masters = tuple(AESGCM(key) for key in master_keys)
        self._keys: dict[int, Keys] = {}

    # -- keys

    def make_keys(self, connection: sa.Connection, organization_id: int, now: datetime) -> None:
        """Give a new organization its keys, in the transaction that makes it."""
        rows = []
        for purpose in _PURPOSES:
            key_id = entropy.token_hex(8)
            key = Key(key_id, entropy.token_bytes(_KEY_BYTES))
            rows.append(
                {
                    "organization_id": organization_id,
                    "key_id": key_id,
                    "purpose": purpose,
                    "wrapped": self._wrap(key, organization_id, purpose),
                    "created_at": to_micros(now),
                }
            )
        connection.execute(sa.insert(vault_keys), rows)

    def keys(self, connection: sa.Connection, organization_id: int) -> Keys:
        """An organization's keys; empty where there is no such organization.

        Raises ``MasterKeyError`` where no master key opens them.
        """
        if (known := self._keys.get(organization_id)) is not None:
            return known
        rows = connection.execute(rows_of(vault_keys, organization_id)).all()
        keys = {
            row.purpose: Key(row.key_id, self._unwrap(row.wrapped, organization_id, row))
            for row in rows
        }
        if keys:  # an organization that is not there yet may come
            self._keys[organization_id] = keys
        return keys

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

    # -- secrets

    def reference(self, keys: Keys, plain: Plain, path: Path) -> tuple[Tree, str]:
        """What takes a secret's place in the event: an id of its own and the fingerprint."""
        secret_id = entropy.token_hex(16)
        text = msgspec.json.encode([join(path), plain.value])
        fingerprint = hmac.digest(keys["fingerprint"].secret, text, "sha256").hex()[:32]
        return {MARK: {"id": secret_id, "fingerprint": fingerprint}}, secret_id

    def store(
        self,
        connection: sa.Connection,
        organization_id: int,
        secrets: Iterable[tuple[int, str, Sealed]],
    ) -> None:
        """Encrypt secrets, given as (assistant, id, value), that an event now refers to."""
        key = self.keys(connection, organization_id)["data"]
        cipher = AESGCM(key.secret)
        rows = []
        for assistant_id, secret_id, sealed in secrets:
            nonce = entropy.token_bytes(_NONCE_BYTES)
            path = join(sealed.path)
            bound = _bind("secret", organization_id, assistant_id, path, secret_id, key.key_id)
            text = msgspec.json.encode(sealed.plain.value)
            rows.append(
                {
                    "organization_id": organization_id,
                    "secret_id": secret_id,
                    "assistant_id": assistant_id,
                    "path": path,
                    "key_id": key.key_id,
                    "ciphertext": nonce + cipher.encrypt(nonce, text, bound),
                }
            )
        if rows:
            connection.execute(sa.insert(sealed_secrets), rows)

    # -- API keys

    def digest(self, keys: Keys, token: str) -> bytes:
        """An API key as it is stored: HMAC-SHA256 under the organization's pepper."""
        return hmac.digest(keys["pepper"].secret, token.encode(), "sha256")


def _bind(*parts: str | int) -> bytes:
    return msgspec.json.encode(["backstory", *parts])
