"""How texts are compared where one is searched, sorted or filtered by: one rule on every engine.

Databases fold case each in its own way, SQLite that of ASCII alone. So texts are folded here, and
the folded text is what a database sees: it compares code points, and nothing else.
"""

from __future__ import annotations

from unicodedata import normalize


def casefolded(text: str) -> str:
    """The text without case, in NFC: canonical caseless matching (Unicode 3.13, D145).

    Texts that look the same, composed or not, fold alike. Accents and widths stay.
    """
    if text.isascii():  # as nearly always
        return text.lower()
    return normalize("NFC", normalize("NFD", text).casefold())
