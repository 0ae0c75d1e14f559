"""Caseless comparison of texts, for searching, sorting and filtering.

Each database folds case in its own way; SQLite folds ASCII only. So texts are folded here, and the
database compares the code points of folded texts, with the same result on every engine.
"""

from __future__ import annotations

from unicodedata import normalize


def casefolded(text: str) -> str:
    """The text folded, in NFC, for canonical caseless matching (Unicode 3.13, D145).

    Composed and decomposed forms of a text fold to the same. Accents and widths are kept.
    """
    if text.isascii():  # the fast way for nearly all texts
        return text.lower()
    return normalize("NFC", normalize("NFD", text).casefold())
