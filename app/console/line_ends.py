"""Line ends of texts, of which browsers know one kind: what a text had is found again. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projections.words import by_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = re.compile("\r\n|\r|\n")


def as_typed(text: str) -> str:
    """A text as forms send it, with one kind of line ends."""
    return _END.sub("\n", text)


def with_line_ends(before: str, typed: str) -> str:
    """An edited text, with the line ends that its lines had before.

    A line that was edited keeps its end; a new one ends as the line above it does.
    """
    if "\r" not in before or "\n" not in typed:
        return typed
    if typed == as_typed(before):
        return before
    *lines, last = typed.split("\n")
    found = list(zip(lines, _ends(before, typed), strict=True))
    # A CR before an LF is one end, not two: where the line between them is gone, it gets its own.
    pairs = zip(found, [*found[1:], (last, "")], strict=True)
    ends = ["\r\n" if end == "\r" and below == ("", "\n") else end for (_, end), below in pairs]
    return "".join(line + end for line, end in zip(lines, ends, strict=True)) + last


def _ends(before: str, typed: str) -> Iterator[str]:
    """The end of each line of a typed text."""
    standing = iter(_END.findall(before))
    replaced: list[str] = []
    last = _END.findall(before)[0]
    for hunk in by_line(as_typed(before), typed):
        count = hunk.text.count("\n")
        if hunk.op == "insert":
            ends = (replaced + [""] * count)[:count]
        else:
            ends = [next(standing) for _ in range(count)]
            replaced = ends if hunk.op == "delete" else []
        if hunk.op != "delete":
            for end in ends:
                last = end or last
                yield last
