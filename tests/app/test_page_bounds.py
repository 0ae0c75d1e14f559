"""Pages end by number and by bytes, and together hold every row once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import pages
from app.pages import Page, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


TEXTS = st.lists(st.text(max_size=30), max_size=12)


def walked(texts: Sequence[str], limit: int, next_after: Callable[[int], int]) -> list[str]:
    """The rows of all pages; ``next_after`` is where the page after a position begins."""
    rows: list[str] = []
    start = 0
    for _ in range(len(texts) + 1):
        page = page_of(((n, texts[n]) for n in range(start, len(texts))), limit)
        check(page, limit)
        rows += msgspec.json.decode(page.body)
        if page.end is None:
            break
        start = next_after(page.end)
    return rows


def check(page: Page, limit: int) -> None:
    assert len(page.rows) <= limit
    assert sum(map(len, page.rows)) <= pages.MOST_BYTES or len(page.rows) == 1
    assert page.rows or page.end is None


@given(texts=TEXTS, limit=st.integers(1, 13), most=st.integers(1, 200))
def test_all_pages_together_are_the_rows_in_order(texts: list[str], limit: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MOST_BYTES", most)
        assert walked(texts, limit, lambda end: end + 1) == texts


@pytest.mark.parametrize("error", [-1, 1])
def test_a_cut_that_is_off_by_one_loses_or_repeats_a_row(error: int) -> None:
    """The control of the law above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MOST_BYTES", 6)
        texts = ["a", "b", "c", "d"]
        assert walked(texts, 4, lambda end: end + 1) == texts
        assert walked(texts, 4, lambda end: end + 1 + error) != texts


def test_a_row_is_not_made_before_the_page_needs_it() -> None:
    made: list[int] = []

    def rows() -> Iterator[tuple[int, str]]:
        for number in range(9):
            made.append(number)
            yield number, "x"

    assert page_of(rows(), 2).end == 1
    assert made == [0, 1, 2]  # the third says that others follow
