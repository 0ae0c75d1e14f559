"""Where an export goes: a file, which can be continued, or a stream, such as a pipe."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from app.storage import private_files

if TYPE_CHECKING:
    from collections.abc import Iterator


class Destination:
    """The output that a command names; ``-`` is stdout."""

    def __init__(self, output: str) -> None:
        self.path = Path(output)
        self.is_stdout = output == "-" or _is_stdout(self.path)
        self.is_stream = self.is_stdout or (self.path.exists() and not self.path.is_file())
        self.name = "stdout" if self.is_stdout else output

    @contextmanager
    def opened(self, keep: int) -> Iterator[BinaryIO]:
        """Open it for writing, after the first ``keep`` bytes of a file; raises ``OSError``."""
        if self.is_stdout:
            if sys.stdout is None:
                raise OSError("stdout is closed")
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with self._open(keep) as file:
                yield file

    def _open(self, keep: int) -> BinaryIO:
        if self.is_stream:
            return self.path.open("wb")
        return private_files.open_for_writing(self.path, keep=keep)


def _is_stdout(path: Path) -> bool:
    """Whether a path names what stdout is already, as ``/dev/stdout`` does."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, AttributeError):  # no such file; stdout is closed, or has no file descriptor
        return False
