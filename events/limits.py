"""How much a body and the settings of an assistant may hold."""

from __future__ import annotations

MAX_REASON = 500
LARGEST = 2 * 1024 * 1024  # bytes of an assistant's settings as JSON
MOST_VALUES = 50_000  # in them, or in a body: small ones cost more time than their bytes say
