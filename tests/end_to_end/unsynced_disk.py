"""A disk that keeps of what was not synced whatever it likes, as one does that loses its power.

Each sector has the bytes that it had after some of the writes since the last sync of its file, and
each sector after others: so writes are dropped, come in another order, and are torn.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random

from tests.end_to_end.traced_writes import Sync, Truncate, Write

_SECTOR = 512


class _File:
    """Its bytes when it was last synced, its bytes now, and those that sectors had between."""

    def __init__(self, content: bytes) -> None:
        self._synced = content
        self._now = bytearray(content)
        self._between: dict[int, list[bytes]] = defaultdict(list)  # by the sector's place
        self._sizes: list[int] = []

    def do(self, step: Write | Truncate) -> None:
        before = len(self._now)
        if isinstance(step, Truncate):
            del self._now[step.size :]
            self._grow(step.size)
            changed = range(min(before, step.size), max(before, step.size))
        else:
            changed = range(min(before, step.offset), step.offset + len(step.data))
            self._grow(changed.stop)
            self._now[step.offset : changed.stop] = step.data
        for at in range(changed.start // _SECTOR * _SECTOR, changed.stop, _SECTOR):
            self._between[at].append(bytes(self._now[at : at + _SECTOR]))
        self._sizes.append(len(self._now))

    def _grow(self, size: int) -> None:
        self._now += bytes(max(0, size - len(self._now)))

    def sync(self, *, is_done: bool) -> None:
        """Either way the system takes for written what was written so far."""
        if is_done:
            self._synced = self._written()
        self._between.clear()
        self._sizes.clear()

    def after_power_cut(self, chance: Random, newest: float) -> bytes:
        if newest in {0, 1}:
            return self._written() if newest else self._synced
        size = chance.choice((len(self._synced), *self._sizes))
        kept = bytearray(self._synced.ljust(size, b"\0"))
        for at, states in self._between.items():
            before = self._synced[at : at + _SECTOR]
            state = states[-1] if chance.random() < newest else chance.choice((before, *states))
            kept[at : at + _SECTOR] = state.ljust(_SECTOR, b"\0")
        return bytes(kept[:size])

    def _written(self) -> bytes:
        """What the next sync would make durable."""
        written = bytearray(self._synced.ljust(len(self._now), b"\0")[: len(self._now)])
        for at in self._between:
            written[at : at + _SECTOR] = self._now[at : at + _SECTOR]
        return bytes(written)


class UnsyncedDisk:
    """The files of a database, each with what was done to it since it was synced."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._files = {path: _File(_read(path)) for path in paths}

    def do(self, step: Write | Truncate) -> None:
        """Take a step, if it is about one of the files."""
        if (file := self._files.get(step.path)) is not None:
            file.do(step)

    def sync(self, step: Sync) -> None:
        """Make durable what was done to a file since its last sync, if it is one of the files.

        After a sync that fails, no later one does: Linux loses those writes.
        """
        if (file := self._files.get(step.path)) is not None:
            file.sync(is_done=step.is_done)

    def cut_power(self, folder: Path, chance: Random, newest: float) -> None:
        """Write to a folder what the files may hold when the power comes back.

        ``newest`` is how probable it is that a sector holds what was written last; 0 keeps nothing
        that was not synced.
        """
        for path, file in self._files.items():
            (folder / path.name).write_bytes(file.after_power_cut(chance, newest))


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
