"""What every export format has: a name, a media type, an encoder, a rule for resuming."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

from msgspec import Struct, field

from projections.exports.resuming import NotThisFormat, Resumption, start_over

if TYPE_CHECKING:
    from events.log_search import Stored


class Coverage(Struct, frozen=True, kw_only=True):
    """The part of a log that one export covers."""

    origin: str  # the log's name, as its checkpoints have it
    last_sequence: int = 0  # how far the log was read, whether events matched or not
    filter: Mapping[str, str | int] = field(default_factory=dict)  # empty for every event
    checkpoint: str = ""  # the signed root over the events up to ``last_sequence``
    continues: bool = False  # another export, whose bytes come before


class Encoder(Protocol):
    """Writes one export. It may keep state, so each export takes a new one."""

    def head(self) -> bytes:
        """The bytes before the first event."""

    def encode(self, page: Sequence[Stored], /) -> bytes:
        """The bytes of the next events, which come in order of sequence."""

    def tail(self) -> bytes:
        """The bytes after the last event."""


def _needs_nothing() -> None:
    """For formats that are written without an optional package."""


class Format(Struct, frozen=True, kw_only=True):
    """A format that exports can have.

    Every file of the format begins with one of ``starts``. ``resume`` takes the lines of a file and
    finds where it goes on (see ``resuming``). ``require`` raises where a package that the format
    needs is not installed.
    """

    name: str
    media_type: str
    extension: str
    encoder: Callable[[Coverage], Encoder]
    starts: tuple[bytes, ...]
    resume: Callable[[Iterable[bytes]], Resumption] = start_over
    require: Callable[[], object] = _needs_nothing

    def resumption(self, file: BinaryIO) -> Resumption:
        """Where a file that may have been cut goes on; raises ``NotThisFormat``."""
        text = file.read(max(map(len, self.starts)))
        # A file that was cut in its first line holds the beginning of a start.
        if not any(start.startswith(text[: len(start)]) for start in self.starts):
            raise NotThisFormat(0)
        file.seek(0)
        return self.resume(file)


class LineEncoder(Struct, frozen=True):
    """The encoder of a format in which events follow one another, with nothing between them.

    Its files can be continued: the bytes of two exports join to those of one.
    """

    encode_page: Callable[[Sequence[Stored]], bytes]
    header: bytes = b""
    footer: bytes = b""

    def head(self) -> bytes:
        """The header."""
        return self.header

    def encode(self, page: Sequence[Stored], /) -> bytes:
        """The next events."""
        return self.encode_page(page)

    def tail(self) -> bytes:
        """The footer."""
        return self.footer
