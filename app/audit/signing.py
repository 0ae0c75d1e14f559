"""The Ed25519 key that signs checkpoints. It is never in the database.

Notes and checkpoints have the formats of C2SP (signed-note, tlog-checkpoint).
"""

from __future__ import annotations

import base64
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from app.config import PREFIX, ConfigError
from app.storage.engines import engines
from app.storage.sqlite import AUDIT_KEY
from app.vault import key_files
from events import log_head

if TYPE_CHECKING:
    from app.config import Config

_ED25519 = b"\x01"  # the signature type of a signed note
_RETIRED = "retired:"
_FINGERPRINT = 16  # digits
_log = structlog.get_logger(__name__)


class VerifierKey(Struct, frozen=True, kw_only=True):
    """What an auditor needs to check a log's signatures."""

    key_id: str  # 8 hexadecimal digits
    public_key: str  # 32 bytes in base64
    verifier_key: str  # the same as C2SP tools take it: NAME+KEY_ID+BASE64
    current: bool


class Signer:
    """Signs with the current key. Retired public keys are listed, to verify old signatures."""

    def __init__(self, current: Ed25519PrivateKey, retired: tuple[bytes, ...] = ()) -> None:
        self._current = current
        self._retired = retired

    def checkpoint(self, origin: str, size: int, root: bytes) -> str:
        """The signed statement that a log's tree of ``size`` leaves has this root."""
        text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = _key_id(origin, _public(self._current)) + self._current.sign(text.encode())
        return f"{text}\n\u2014 {origin} {base64.b64encode(signature).decode()}\n"

    def keys(self, origin: str) -> list[VerifierKey]:
        """The public keys of a log, the current one first."""
        public = (_public(self._current), *self._retired)
        return [_shown(origin, key, current=not number) for number, key in enumerate(public)]

    @property
    def fingerprints(self) -> list[str]:
        """Names of the public keys, the current one first: 16 hexadecimal digits each."""
        public = (_public(self._current), *self._retired)
        return [sha256(key).hexdigest()[:_FINGERPRINT] for key in public]


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _key_id(origin: str, public_key: bytes) -> bytes:
    return sha256(origin.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _shown(origin: str, public_key: bytes, *, current: bool) -> VerifierKey:
    key_id = _key_id(origin, public_key).hex()
    typed = base64.b64encode(_ED25519 + public_key).decode()
    return VerifierKey(
        key_id=key_id,
        public_key=base64.b64encode(public_key).decode(),
        verifier_key=f"{origin}+{key_id}+{typed}",
        current=current,
    )


# -- where the key is kept


class AuditKeyMissing(Exception):
    """The key that signs checkpoints is not where the configuration says."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"the audit key {file} is missing; put it back, or set BACKSTORY_AUDIT_KEY"
        )


def open_signer(config: Config, *, make: bool = True) -> Signer:
    """The configured signer; by default, the one of ``<database>.audit.key``.

    ``make`` creates a missing file, unless a log holds checkpoints, which a new key would not
    verify. Raises ``ConfigError`` and ``AuditKeyMissing``.
    """
    configured = key_files.configured("AUDIT_KEY", config.audit_key, config.audit_key_file)
    if configured is not None:
        return _read(*configured)
    file = _embedded_file(config)
    if not file.exists():
        if not make or _has_signed(config):
            raise AuditKeyMissing(file)
        key_files.make(file, _new_key() + "\n")
        _log.warning(
            "audit_key_made",
            file=str(file),
            advice="back it up, apart from the database: it signs the audit log's checkpoints",
        )
    return _read(key_files.read(file, str(file)), str(file))


def _has_signed(config: Config) -> bool:
    """Whether a log holds a checkpoint; the database must be migrated."""
    engine = engines(config.url).snapshots()
    try:
        with engine.connect() as connection:
            return log_head.holds_checkpoints(connection)
    finally:
        engine.dispose()


def _embedded_file(config: Config) -> Path:
    file = engines(config.url).key_file(AUDIT_KEY)
    if file is None:
        raise ConfigError(
            f"{PREFIX}AUDIT_KEY: set it, or {PREFIX}AUDIT_KEY_FILE: a server's database has no file"
            " beside it that could hold the key"
        )
    return file


def key_file(config: Config) -> Path:
    """The file that holds the key; raises ``ConfigError`` if a variable holds it."""
    if config.audit_key is not None:
        raise ConfigError("BACKSTORY_AUDIT_KEY: put the key into a file to have it rotated")
    return Path(config.audit_key_file) if config.audit_key_file else _embedded_file(config)


def rotate(file: Path) -> None:
    """Replace the key in a file by a new one; the file keeps the old public key."""
    file = file.resolve()  # a link stays a link
    signer = _read(key_files.read(file, str(file)), str(file))
    retired = [key.public_key for key in signer.keys("")]
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    key_files.make(new, "\n".join((_new_key(), *(_RETIRED + key for key in retired))) + "\n")
    os.replace(new, file)  # noqa: PTH105  # one step, so that the file always holds a whole key


def _new_key() -> str:
    return base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()


def _read(text: str, source: str) -> Signer:
    current, *retired = key_files.words(text, source)
    if not all(word.startswith(_RETIRED) for word in retired):
        raise ConfigError(f"{source}: after the key, expected {_RETIRED}PUBLIC_KEY")
    public = [key_files.decode(word.removeprefix(_RETIRED), source) for word in retired]
    for key in public:
        Ed25519PublicKey.from_public_bytes(key)
    private = Ed25519PrivateKey.from_private_bytes(key_files.decode(current, source))
    return Signer(private, tuple(public))
