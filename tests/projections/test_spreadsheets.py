"""No text from elsewhere is a formula in a spreadsheet, whichever way its locale divides a line.

Cells are read by the standard library's reader with each divider, and by a plain one that knows no
quotes; the rule for formulas is written here a second time, from Unicode's own data.
"""

# ruff: noqa: RUF001  # wider forms are what this is about

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING
from unicodedata import category, normalize

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from projections.spreadsheets import Cell, Table, quote, unquote
from tests.events.strategies import modest

if TYPE_CHECKING:
    from collections.abc import Iterator

DIVIDERS = ",;\t"
STARTS = "=+-@"
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")
# Fillers, blanks and selectors, of which nothing is seen either.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u2800\u3164\ufe0f\uffa0\U000e0100")
PIECES = st.sampled_from(
    [
        *"=+-@＝＋－＠﹦﹢﹣﹫⁺⁻−",
        *"\t\r\n\x00\x0b \u00a0\u200b\u202e\u2060\u3000\ufeff\u3164\u115f\ufe0f\u2800",
        *"';,\"|a1(",
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("x")',
    ]
)
TEXTS = st.lists(PIECES | st.characters(exclude_categories=["Cs"]), max_size=8).map("".join)
ROWS = st.lists(st.lists(TEXTS | st.integers() | st.none(), min_size=2, max_size=4), max_size=3)


def is_formula(cell: str, *, behind: str = "") -> bool:
    """Whether a spreadsheet may run a cell, whatever it takes away before it looks."""
    seen = cell.lstrip(behind)
    while seen and (category(seen[0]) in _UNSEEN or seen[0] in _FILLERS or seen[0] in behind):
        seen = seen[1:]
    return normalize("NFKC", seen[:1]).replace("\u2212", "-") in tuple(STARTS) and seen != ""


def cells_of(text: str) -> Iterator[str]:
    """Every cell that some locale may see in a file."""
    for divider in DIVIDERS:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=divider):
            yield from row


def formulas_in(text: str) -> list[str]:
    found = [cell for cell in cells_of(text) if is_formula(cell)]
    plain = re.split("[;\t\r\n]", text)  # each of them at once, and no quotes
    return found + [cell for cell in plain if is_formula(cell, behind='"')]


def numbers_aside(rows: list[list[Cell]]) -> list[list[Cell]]:
    """Negative numbers are ours, and only numbers."""
    return [[abs(cell) if isinstance(cell, int) else cell for cell in row] for row in rows]


@modest
@for_all(ROWS)
def test_no_locale_finds_a_formula_in_a_table(rows: list[list[Cell]]) -> None:
    # As in every table of ours, a line begins with a number.
    numbered = [[number, *row] for number, row in enumerate(numbers_aside(rows))]
    assert formulas_in(Table().rows(numbered).decode()) == []


@modest
@for_all(ROWS)
def test_every_text_can_be_read_back(rows: list[list[Cell]]) -> None:
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    for table, read in ((Table(), unquote), (Table(formulas="raw"), str)):
        text = table.rows(rows).decode()
        found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        assert [[read(cell) for cell in row] for row in found] == texts


@modest
@for_all(TEXTS, TEXTS)
def test_a_quoted_text_is_its_own(one: str, other: str) -> None:
    assert unquote(quote(one)) == one
    assert (quote(one) == quote(other)) == (one == other)
    assert not is_formula(quote(one))


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        "＝1",
        "\ufeff=1",
        "\u200b\u00a0-1",
        "x;=1",
        "x\t=1",
        "x\n=1",
        'x;"=1',
        "x;\u200b@a",
        "\t=1",
    ],
)
def test_a_raw_table_has_formulas(text: str) -> None:
    """The control: the same cells, with the guard off."""
    raw = Table(formulas="raw").rows([[1, text]]).decode()
    assert formulas_in(raw) != []
    assert formulas_in(Table().rows([[1, text]]).decode()) == []


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", ""), ("a", "a"), ("1-1", "1-1"), ("'a", "'a"), ("''", "''"), ("it's =", "it's ="),
        ("a;b", "a;b"), ("a\n\nb", "a\n\nb"), (" a", " a"), ("a@example.com", "a@example.com"),
        ("=1", "'=1"), ("'=1", "''=1"), ("-1", "'-1"), (" =1", "' =1"), ("a;=1;b", "a;'=1;b"),
        ("- one\n- two", "'- one\n'- two"), ("\ta", "'\ta"),
    ],
)  # fmt: skip
def test_nothing_else_is_quoted(text: str, cell: str) -> None:
    assert quote(text) == cell
    assert unquote(cell) == text


def test_what_some_divide_by_stands_in_quotes() -> None:
    assert Table().rows([[1, "a;b", "a\tb", "a b", None, 'a"b']]) == (
        b'1,"a;b","a\tb",a b,,"a""b"\r\n'
    )


def test_a_byte_order_mark_stands_before_the_header_alone() -> None:
    table = Table(bom=True)
    assert table.header(["id", "name"]) == b"\xef\xbb\xbf" + Table().header(["id", "name"])
    assert table.rows([[1, "a"]]) == Table().rows([[1, "a"]])
