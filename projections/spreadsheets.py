"""CSV as every export of ours writes it (RFC 4180), with one guard for what a spreadsheet runs.

A text from elsewhere must neither be a formula in its cell, nor bring one along in another: where
a locale divides cells by ``;`` or tabs, quotes in the middle of a line guard nothing. So a single
quote goes before each place where a cell may begin and a formula follows. ``unquote`` gives every
text back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

Cell = str | int | None
Formulas = Literal["quoted", "raw"]
_BOM = b"\xef\xbb\xbf"

# What spreadsheets take for the start of a formula (OWASP ASVS 1.2.10): also in the forms that
# some of them fold, fullwidth, small and raised, and the minus that is no hyphen.
_START = (
    r"=+\-@\u207a-\u207c\u208a-\u208c\u2212\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
# What may stand before it, because it is not seen or is taken away: controls, blanks, formats,
# fillers, selectors, and our own quote.
_BEFORE = (
    r"'\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_FIRST = rf"(?=[{_BEFORE}]*[{_START}\t\r\n\x00])"
_WITHIN = rf"(?=[\"{_BEFORE}]*[{_START}])"  # behind what divides cells, a quote is one of the line
_FORMULA = re.compile(_FIRST)
_CELL = re.compile(rf"[;\t\r\n]{_WITHIN}")
_QUOTED = re.compile(rf"\A'{_FIRST}|(?<=[;\t\r\n])'{_WITHIN}")
_PLAIN = re.compile(r'[A-Za-z0-9"/{\[][^;\t\r\n]*')  # nearly all: they are told apart fast
_SPECIAL = re.compile(r'[",;\t\r\n]')  # more than RFC 4180 names, for who divides by any of them


def quote(text: str) -> str:
    """The text as a cell that neither is a formula nor brings one along."""
    if _PLAIN.fullmatch(text):
        return text
    cell = _CELL.sub(r"\g<0>'", text)
    return "'" + cell if _FORMULA.match(cell) else cell


def unquote(cell: str) -> str:
    """The text that a cell shows; the inverse of ``quote``."""
    return _QUOTED.sub("", cell)


class Table(Struct, frozen=True, kw_only=True):
    """How a table is written. ``raw`` formulas are for machines; Excel wants the ``bom``."""

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
