"""Where an export file that was cut goes on: up to there, its bytes are whole.

Formats whose events follow one another can go on. A format that is one document starts over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from projections.exports.closing_line import ClosingLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class NotThisFormat(Exception):
    """A file holds bytes at ``position`` that its format does not write."""

    def __init__(self, position: int) -> None:
        super().__init__(f"byte {position}")
        self.position = position


class Resumption(Struct, frozen=True, kw_only=True):
    """How many bytes of a file stay, and the sequence after which it goes on.

    ``last`` holds the bytes of the next event, as far as the file has them; they are written again,
    because an event can have several rows and the cut may lie between them. A file with a
    ``closing`` line is complete.
    """

    size: int = 0
    after: int = 0
    last: bytes = b""
    closing: ClosingLine | None = None

    @property
    def reached(self) -> int:
        """The last sequence of which the file holds anything."""
        return self.after + bool(self.last)


def start_over(_: Iterable[bytes], /) -> Resumption:
    """The resumption of a format that is one document."""
    return Resumption()


def last_line(lines: Iterable[bytes]) -> tuple[int, bytes]:
    """The byte at which the last whole line starts, and the line; empty where there is none."""
    end, last = 0, b""
    for line in lines:
        if line.endswith(b"\n"):
            end, last = end + len(line), line
    return end - len(last), last


def before_line(start: int, line: bytes, sequence_of: Callable[[bytes], int]) -> Resumption:
    """Go on before the line of an event; raises ``NotThisFormat`` where it is not one.

    ``sequence_of`` raises ``ValueError`` or ``IndexError`` for a line that holds no event.
    """
    try:
        sequence = sequence_of(line)
    except (ValueError, IndexError):
        raise NotThisFormat(start) from None
    if sequence < 1:
        raise NotThisFormat(start)
    return Resumption(size=start, after=sequence - 1, last=line)


def resume_lines(lines: Iterable[bytes], sequence_of: Callable[[bytes], int]) -> Resumption:
    """Go on before the last whole line: the resumption of a format with one line for each event."""
    start, line = last_line(lines)
    return before_line(start, line, sequence_of) if line else Resumption()
