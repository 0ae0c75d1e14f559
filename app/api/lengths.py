"""What ``Content-Length`` says."""

from __future__ import annotations

_MOST_DIGITS = 18
ENDLESS = 10**_MOST_DIGITS


def declared(value: bytes) -> int:
    """The bytes that the digits say; ``ENDLESS`` for more than any body has.

    Python refuses to read thousands of digits, and a parser may take them.
    """
    digits = value.strip().lstrip(b"0")
    return ENDLESS if len(digits) > _MOST_DIGITS else int(digits or b"0")
