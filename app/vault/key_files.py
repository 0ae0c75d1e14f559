"""Files and variables that hold keys. No error repeats a key; new files have mode 0600."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from app.config import PREFIX, ConfigError

KEY_BYTES = 32


def configured(name: str, value: str | None, file: str | None) -> tuple[str, str] | None:
    """The text of a configured key and the name of its variable; None if there is none.

    Raises ``ConfigError``.
    """
    if value is not None:
        return value, PREFIX + name
    if file:
        # Without the value: by mistake, it may be the key itself.
        source = f"{PREFIX}{name}_FILE"
        return read(Path(file), source), source
    return None


def read(path: Path, source: str) -> str:
    """The text of a key file; raises ``ConfigError``, which names only the source."""
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read ({_reason(error)})") from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error.reason)


def decode(word: str, source: str) -> bytes:
    """32 bytes from base64; raises ``ConfigError``, which names only the source."""
    try:
        key = base64.b64decode(word, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{source}: expected 32 bytes in base64")
    return key


def words(text: str, source: str) -> list[str]:
    """The keys in a text, separated by blanks, lines or commas; at least one."""
    keys = text.replace(",", " ").split()
    if not keys:
        raise ConfigError(f"{source}: expected 32 bytes in base64")
    return keys


def make(path: Path, text: str) -> None:
    """Write a new file that only its owner may read, and sync it to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
