"""Whether a text looks as if it was drawn at random."""

from __future__ import annotations

import re

_RUNS = re.compile(r"[A-Za-z0-9]{20,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"[A-Za-z]")
_CASES = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), DIGIT)


def looks_random(text: str) -> bool:
    """Whether a text looks as if it was drawn at random: long runs of letters and digits."""
    if len(text) < 20 or " " in text or "://" in text:  # noqa: PLR2004  # as a run
        return False
    if _UUID.fullmatch(text):
        return True
    if any(DIGIT.search(run) and _LETTER.search(run) for run in _RUNS.findall(text)):
        return True
    return _BASE64.fullmatch(text) is not None and all(case.search(text) for case in _CASES)
