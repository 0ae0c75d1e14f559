"""The words of a name: a member's, a header's or a parameter's."""

from __future__ import annotations

import re
import unicodedata

_LONGEST_NAME = 200  # characters; of a longer name, the end counts
_SEGMENT = re.compile(r"[^\W\d_]+")
# The words of ``clientSecret``, of ``APIKey`` and of ``auth``.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")


def name_end(name: str) -> str:
    """The part of a name that counts: all of it, unless it is longer than any real name."""
    return name[-_LONGEST_NAME:]


def is_too_long(text: str) -> bool:
    """Whether a text is too long to be a name."""
    return len(text) > _LONGEST_NAME


def normalized(name: str) -> str:
    """A name in which letters that look alike are the same (Unicode's NFKC)."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def segments(name: str) -> list[str]:
    """The runs of letters in a name: ``auth`` and ``Token`` of ``auth_Token2``."""
    return _SEGMENT.findall(name)


def words(segment: str) -> list[str]:
    """The words of a segment, told apart by case: ``api`` and ``Key`` of ``apiKey``."""
    return _WORD.findall(segment)


def word_set(text: str) -> frozenset[str]:
    """The words of a text with blanks between them."""
    return frozenset(text.split())
