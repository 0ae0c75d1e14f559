"""Tokens of API keys.

A token is ``bks_`` + 30 base62 characters + 6 of CRC32, so that junk is rejected without a query.
The last 6 of the 30 encode the organization, so that a look-up stays inside it; the other 24 are
random (142 bits).
"""

from __future__ import annotations

import secrets as entropy
import string
import zlib

from app.storage.tables import MAX_ID

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}


_MARK = "bks_"


_RANDOM, _ORGANIZATION, _CHECKSUM = 24, 6, 6


_LENGTH = len(_MARK) + _RANDOM + _ORGANIZATION + _CHECKSUM


PREFIX_LENGTH = 12


def make_token(organization_id: int) -> str:
    """A new token for a key of an organization."""
    body = "".join(entropy.choice(_ALPHABET) for _ in range(_RANDOM))
    body += _base62(organization_id, _ORGANIZATION)
    return _MARK + body + _checksum(body)


def organization_of(token: str) -> int | None:
    """The organization that a token names; None for a text that cannot be a token."""
    if len(token) != _LENGTH or not token.startswith(_MARK) or not token.isascii():
        return None
    body, checksum = token[len(_MARK) : -_CHECKSUM], token[-_CHECKSUM:]
    if not body.isalnum() or checksum != _checksum(body):
        return None
    organization_id = 0
    for character in body[_RANDOM:]:
        organization_id = organization_id * len(_ALPHABET) + _DIGITS[character]
    return organization_id if organization_id <= MAX_ID else None


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
