"""Files and variables that hold keys: read without ever repeating one, made with mode 0600."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from app.config import PREFIX, ConfigError

KEY_BYTES = 32


def configured(name: str, value: str | None, file: str | None) -> tuple[str, str] | None:
    """The text of a key that is configured, and by which variable; None for none.

    Raises ``ConfigError``.
    """
    if value is not None:
        return value, PREFIX + name
    if file:
        # Said without the value: by mistake, it may be the key itself.
        source = f"{PREFIX}{name}_FILE"
        return read(Path(file), source), source
    return None


def read(path: Path, source: str) -> str:
    """The text of a key's file; raises ``ConfigError``, which names the source alone."""
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read ({_why(error)})") from None


def _why(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error.reason)


def decode(word: str, source: str) -> bytes:
    """32 bytes from their base64; raises ``ConfigError``, which names the source alone."""
    try:
        key = base64.b64decode(word, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{source}: expected 32 bytes in base64")
    return key


def words(text: str, source: str) -> list[str]:
    """What stands in a key's text, separated by blanks, lines or commas; at least one."""
    found = text.replace(",", " ").split()
    if not found:
        raise ConfigError(f"{source}: expected 32 bytes in base64")
    return found


def make(path: Path, text: str) -> None:
    """Write a new file that only its owner may read, and see it on the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
