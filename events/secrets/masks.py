"""What is shown in place of a secret."""

from __future__ import annotations

import re

MASK = "********"
ERASED = "erased"  # shown where the sealed value was destroyed
_ONLY_MASK = re.compile(r"[*.]+")


def is_mask(text: str) -> bool:
    """Whether a value is only what some server showed in place of a secret."""
    return text == ERASED or _ONLY_MASK.fullmatch(text) is not None
