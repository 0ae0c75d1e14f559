"""AES-256-GCM: encrypt bytes and bind them to their place.

A ciphertext opens only with the same bound parts (the additional authenticated data, AAD): copied
to another row, it does not open.
"""

from __future__ import annotations

import secrets as entropy
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12  # 96 bits, random for each ciphertext


def encrypt(cipher: AESGCM, text: bytes, *bound: str | int) -> bytes:
    """The nonce, then the ciphertext."""
    nonce = entropy.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, text, _aad(bound))


def decrypt(cipher: AESGCM, sealed: bytes, *bound: str | int) -> bytes:
    """The text of ``encrypt``. Raises ``InvalidTag`` for another key, text or other parts."""
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _aad(bound))


def _aad(bound: tuple[str | int, ...]) -> bytes:
    return msgspec.json.encode(["backstory", *bound])
