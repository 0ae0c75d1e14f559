"""Masks: what is shown in place of a secret."""

from __future__ import annotations

import re

MASK = "********"
ERASED = "erased"  # in place of a secret whose sealed value was destroyed
_ONLY_MASK = re.compile(r"[*.]+")


def is_mask(text: str) -> bool:
    """Whether a text is only a mask, as this server or another shows it in place of a secret."""
    return text == ERASED or _ONLY_MASK.fullmatch(text) is not None
