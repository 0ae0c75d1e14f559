"""The digest of an assistant as it is shown, which a client can compute from an answer.

The canonical bytes are the JSON with the members of each object sorted, no spaces, in UTF-8
without escapes that JSON does not need: what Python's ``json.dumps`` gives here.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.assistants.view_cache import View

PREFIX = "sha256:"


def canonical(body: bytes) -> bytes:
    """The canonical bytes of JSON."""
    value = json.loads(body)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest_of(view: View) -> str:
    """The digest of a view, ``sha256:`` and 64 hexadecimal digits; computed once for each."""
    if view.digest is None:
        view.digest = PREFIX + hashlib.sha256(canonical(view.body)).hexdigest()
    return view.digest


def to_bytes(digest: str) -> bytes:
    """A digest as it is stored."""
    return bytes.fromhex(digest.removeprefix(PREFIX))


def to_text(stored: bytes) -> str:
    """A digest as it is shown."""
    return PREFIX + stored.hex()
