"""Line ends: an edited text keeps those that it had."""

from __future__ import annotations

from hypothesis import given as for_all
from hypothesis import settings as configured
from hypothesis import strategies as st

from app.console.line_ends import as_typed, with_line_ends

_ENDS = st.sampled_from(["\r\n", "\r", "\n"])


_CALM = st.text("ab .\t", max_size=4)


# Texts with line ends of all kinds; two that would be one, a CR before an LF, are not drawn apart.
_TEXTS_OF_LINES = st.lists(st.tuples(_CALM, _ENDS), max_size=6).map(
    lambda lines: "".join(line + end for line, end in lines)
)


@configured(max_examples=50, deadline=None)
@for_all(_TEXTS_OF_LINES, _TEXTS_OF_LINES.map(as_typed) | st.text("ab\n", max_size=8))
def test_a_text_is_the_typed_one_apart_from_its_line_ends(before: str, typed: str) -> None:
    assert as_typed(with_line_ends(before, typed)) == typed
    assert with_line_ends(before, as_typed(before)) == before


@configured(max_examples=30, deadline=None)
@for_all(st.lists(st.tuples(_CALM, _ENDS), min_size=2, max_size=6), st.data())
def test_lines_that_were_not_edited_keep_their_ends(
    lines: list[tuple[str, str]], data: st.DataObject
) -> None:
    lines = [(f"{i}{line}", end) for i, (line, end) in enumerate(lines)]
    before = "".join(line + end for line, end in lines)
    at = data.draw(st.integers(0, len(lines) - 1), label="line")
    line, end = lines[at]
    edited = [*lines[:at], (f"{line}, edited", end), *lines[at + 1 :]]
    fewer = [*lines[:at], *lines[at + 1 :]]
    more = [*lines[: at + 1], ("new", end), *lines[at + 1 :]]
    for wanted in (edited, fewer, more):
        text = "".join(line + end for line, end in wanted)
        assert with_line_ends(before, as_typed(text)) == text
    plain = as_typed(before.replace(line, f"{line}, edited", 1))
    assert with_line_ends("", plain) == plain, "the control: without what stood, all are LF"
