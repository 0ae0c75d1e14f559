"""How much a body and the settings of an assistant may hold."""

from __future__ import annotations

MAX_REASON = 500  # characters
LARGEST = 2 * 1024 * 1024  # bytes of an assistant's settings as JSON
MOST_VALUES = 50_000  # in the settings or in a body: many small ones take more time than bytes
