"""Read ``Content-Length``."""

from __future__ import annotations

_MOST_DIGITS = 18
ENDLESS = 10**_MOST_DIGITS


def declared(value: bytes) -> int:
    """The declared number of bytes; ``ENDLESS`` for more digits than any body needs.

    Python refuses to convert thousands of digits, and HTTP parsers may accept them.
    """
    digits = value.strip().lstrip(b"0")
    return ENDLESS if len(digits) > _MOST_DIGITS else int(digits or b"0")
