"""Line ends: forms send one kind, so the ones that a text had are restored. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projections.words import by_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = re.compile("\r\n|\r|\n")


def as_typed(text: str) -> str:
    """A text as a form holds it, with LF as its only line end."""
    return _END.sub("\n", text)


def with_line_ends(before: str, typed: str) -> str:
    """An edited text with the line ends that it had before.

    An edited line keeps its end; a new line ends as the line above it.
    """
    if "\r" not in before or "\n" not in typed:
        return typed
    if typed == as_typed(before):
        return before
    *lines, last = typed.split("\n")
    ended = list(zip(lines, _ends(before, typed), strict=True))
    # Where the line between a CR and an LF was removed, the two would become one line end.
    pairs = zip(ended, [*ended[1:], (last, "")], strict=True)
    ends = ["\r\n" if end == "\r" and below == ("", "\n") else end for (_, end), below in pairs]
    return "".join(line + end for line, end in zip(lines, ends, strict=True)) + last


def _ends(before: str, typed: str) -> Iterator[str]:
    """The line end of each line of a typed text."""
    previous = iter(_END.findall(before))
    replaced: list[str] = []
    last = _END.findall(before)[0]
    for hunk in by_line(as_typed(before), typed):
        count = hunk.text.count("\n")
        if hunk.op == "insert":
            ends = (replaced + [""] * count)[:count]
        else:
            ends = [next(previous) for _ in range(count)]
            replaced = ends if hunk.op == "delete" else []
        if hunk.op != "delete":
            for end in ends:
                last = end or last
                yield last
