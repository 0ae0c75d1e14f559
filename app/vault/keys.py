"""Keys: the master keys, and each organization's keys, which they wrap.

A master key is never in the database. It wraps an organization's own keys:

- ``data``    AES-256-GCM, seals the organization's secrets
- ``pepper``  HMAC-SHA256, hashes the organization's API keys
"""

from __future__ import annotations

import base64
import secrets as entropy
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from app.storage.engines import Engines, engines
from app.storage.sqlite import MASTER_KEY, mark_for_scrub
from app.storage.tables import vault_keys
from app.vault import aead, key_files
from events.log_head import organization_ids
from events.tables import rows_of, to_micros

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from app.config import Config

Purpose = Literal["data", "pepper"]
_FINGERPRINT = 16  # digits
_PURPOSES: tuple[Purpose, ...] = ("data", "pepper")
_log = structlog.get_logger(__name__)


class MasterKeyError(Exception):
    """The master key is missing, malformed, or not the one that wrapped this database's keys."""


class Key(Struct, frozen=True, eq=False):
    """One unwrapped key of an organization."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.key_id})"


class Keys(Struct, frozen=True):
    """An organization's keys."""

    data: Key
    pepper: Key


def read_master_keys(config: Config) -> tuple[bytes, ...]:
    """The configured master keys, newest first; none where the default file is used.

    Raises ``ConfigError`` for a key that is not 32 bytes in base64.
    """
    key = key_files.configured("MASTER_KEY", config.master_key, config.master_key_file)
    return _decode_keys(*key) if key else ()


def embedded_master_keys(file: Path, *, make: bool) -> tuple[tuple[bytes, ...], bool]:
    """The keys in ``<database>.key``, and whether the file was made just now.

    Raises ``MasterKeyError`` for a missing file that may not be made: a database that has keys
    already must not get a new master key.
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
    """The vault of a migrated database, after it opened every organization's keys.

    Makes ``<database>.key`` at the first start of an embedded database. Raises
    ``MasterKeyError``.
    """
    database = engines(config.url)
    engine = database.snapshots()
    try:
        with engine.connect() as connection:
            organizations = organization_ids(connection)
            masters = read_master_keys(config)
            vault = Vault(masters or _default_master_keys(database, make=not organizations))
            for organization_id in organizations:
                vault.keys(connection, organization_id)
    finally:
        engine.dispose()
    return vault


def existing_master_keys(config: Config) -> tuple[bytes, ...]:
    """The master keys, newest first; never makes one.

    Raises ``ConfigError``, and ``MasterKeyError`` where there is none.
    """
    return read_master_keys(config) or _default_master_keys(engines(config.url), make=False)


def fingerprint(master_key: bytes) -> str:
    """Names a master key, and tells nothing else about it: 16 hexadecimal digits."""
    (derived,) = Vault((master_key,)).derive_keys("fingerprint of a master key")
    return derived.hex()[:_FINGERPRINT]


class NeededKeys(Struct, frozen=True, kw_only=True):
    """The master keys that a database's keys are wrapped under."""

    fingerprints: list[str]
    unknown: int  # how many of the database's keys none of the given master keys opens


def needed_keys(connection: sa.Connection, master_keys: tuple[bytes, ...]) -> NeededKeys:
    """Which of the master keys open the keys of all organizations."""
    vaults = {fingerprint(key): Vault((key,)) for key in master_keys}
    needed = [
        next((name for name, vault in vaults.items() if vault.opens(row)), None)
        for organization_id in organization_ids(connection)
        for row in connection.execute(rows_of(vault_keys, organization_id))
    ]
    return NeededKeys(
        fingerprints=sorted({name for name in needed if name is not None}),
        unknown=needed.count(None),
    )


def _default_master_keys(database: Engines, *, make: bool) -> tuple[bytes, ...]:
    file = database.key_file(MASTER_KEY)
    if file is None:
        raise MasterKeyError(
            "BACKSTORY_MASTER_KEY: set it, or BACKSTORY_MASTER_KEY_FILE: a server's"
            " database has no file beside it that could hold the key"
        )
    masters, is_new = embedded_master_keys(file, make=make)
    if is_new:
        _log.warning(
            "master_key_made",
            file=str(file),
            advice="back it up, apart from the database: without it secrets are lost",
        )
    return masters


class Vault:
    """Makes, opens and wraps the keys of organizations. The newest master key wraps."""

    def __init__(self, master_keys: tuple[bytes, ...]) -> None:
        self._master_keys = master_keys
        self._masters = tuple(AESGCM(key) for key in master_keys)
        self._peppers: dict[int, Key] = {}  # they never change

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

        Not cached: a transaction that rolls back must not leave a key that is not stored. Raises
        ``MasterKeyError`` if no master key opens them.
        """
        rows = connection.execute(rows_of(vault_keys, organization_id)).all()
        return Keys(**{row.purpose: self._open(row) for row in rows})

    def pepper(self, connection: sa.Connection, organization_id: int) -> Key | None:
        """The key that hashes an organization's API keys; None if there is no organization."""
        if organization_id not in self._peppers:
            query = rows_of(vault_keys, organization_id).where(vault_keys.c.purpose == "pepper")
            row = connection.execute(query).one_or_none()
            if row is None:  # not cached: the organization may be made later
                return None
            self._peppers[organization_id] = self._open(row)
        return self._peppers[organization_id]

    def known_pepper(self, organization_id: int) -> Key | None:
        """The pepper of an organization if ``pepper`` has read it before."""
        return self._peppers.get(organization_id)

    def rewrap(self, connection: sa.Connection, organization_id: int) -> None:
        """Wrap an organization's keys under the newest master key; the keys stay the same."""
        mark_for_scrub(connection)  # an older master key opens the older bytes
        for row in connection.execute(rows_of(vault_keys, organization_id)).all():
            connection.execute(
                sa.update(vault_keys)
                .where(
                    vault_keys.c.organization_id == organization_id,
                    vault_keys.c.key_id == row.key_id,
                )
                .values(wrapped=self._wrap(self._open(row), organization_id, row.purpose))
            )

    def replace_data_key(
        self, connection: sa.Connection, organization_id: int, now: datetime
    ) -> Key:
        """Destroy an organization's data key and make a new one, which is returned."""
        mark_for_scrub(connection)
        connection.execute(
            sa.delete(vault_keys).where(
                vault_keys.c.organization_id == organization_id,
                vault_keys.c.purpose == "data",
            )
        )
        self.make_keys(connection, organization_id, now, ("data",))
        return self.keys(connection, organization_id).data

    def derive_keys(self, use: str) -> tuple[bytes, ...]:
        """Keys for a use outside the database, one for each master key, newest first."""
        info = f"backstory {use}".encode()
        return tuple(
            HKDF(SHA256(), key_files.KEY_BYTES, salt=None, info=info).derive(key)
            for key in self._master_keys
        )

    def opens(self, row: sa.Row[Any]) -> bool:
        """Whether a master key opens a row of ``vault_keys``."""
        try:
            self._open(row)
        except MasterKeyError:
            return False
        return True

    def _wrap(self, key: Key, organization_id: int, purpose: str) -> bytes:
        bound = ("key", organization_id, purpose, key.key_id)
        return aead.encrypt(self._masters[0], key.secret, *bound)

    def _open(self, row: sa.Row[Any]) -> Key:
        bound = ("key", row.organization_id, row.purpose, row.key_id)
        for master in self._masters:
            with suppress(InvalidTag):
                return Key(row.key_id, aead.decrypt(master, row.wrapped, *bound))
        raise MasterKeyError(
            "the master key does not open this database's keys; give the one it was made with"
        )
