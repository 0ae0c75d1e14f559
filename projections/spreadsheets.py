"""CSV (RFC 4180) that no spreadsheet takes for formulas.

A text must not be a formula in its own cell, and must not start one in another cell: some locales
separate cells by ``;`` or tabs, and ignore quotes in the middle of a line. So a single quote is
put wherever a cell can begin and a formula follows. ``unquote`` gives the text back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

Cell = str | int | None
Formulas = Literal["quoted", "raw"]
_BOM = b"\xef\xbb\xbf"

# Characters that start a formula (OWASP ASVS 1.2.10), with the forms that some spreadsheets treat
# like them: fullwidth, small, raised, and the mathematical minus.
_START = (
    r"=+\-@\u207a-\u207c\u208a-\u208c\u2212\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
# Characters that can come before it, because they are invisible or removed: control characters,
# blanks, format characters, fillers, variation selectors, and our own quote.
_BEFORE = (
    r"'\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_FIRST = rf"(?=[{_BEFORE}]*[{_START}\t\r\n\x00])"
_WITHIN = rf"(?=[\"{_BEFORE}]*[{_START}])"  # after a separator, a quote belongs to the line
_FORMULA = re.compile(_FIRST)
_CELL = re.compile(rf"[;\t\r\n]{_WITHIN}")
_QUOTED = re.compile(rf"\A'{_FIRST}|(?<=[;\t\r\n])'{_WITHIN}")
_PLAIN = re.compile(r'[A-Za-z0-9"/{\[][^;\t\r\n]*')  # nearly all texts: recognized fast
_SPECIAL = re.compile(r'[",;\t\r\n]')  # RFC 4180's, and the separators of some locales


def quote(text: str) -> str:
    """The text as a cell that is no formula and starts none in another cell."""
    if _PLAIN.fullmatch(text):
        return text
    cell = _CELL.sub(r"\g<0>'", text)
    return "'" + cell if _FORMULA.match(cell) else cell


def unquote(cell: str) -> str:
    """The text of a cell: the inverse of ``quote``."""
    return _QUOTED.sub("", cell)


class Table(Struct, frozen=True, kw_only=True):
    """How CSV is written: ``raw`` formulas are for programs, ``bom`` is for Excel."""

    formulas: Formulas = "quoted"
    bom: bool = False

    def header(self, names: Sequence[str]) -> bytes:
        """The first line of a file."""
        return (_BOM if self.bom else b"") + self.rows([names])

    def rows(self, rows: Iterable[Sequence[Cell]]) -> bytes:
        """Rows of texts and numbers; None is an empty cell."""
        cell = self._cell
        return "".join([",".join(map(cell, row)) + "\r\n" for row in rows]).encode()

    def _cell(self, value: Cell) -> str:
        if not isinstance(value, str):
            return "" if value is None else str(value)
        text = quote(value) if self.formulas == "quoted" else value
        return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text
