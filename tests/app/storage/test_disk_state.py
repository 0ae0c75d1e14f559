"""What the last writes have shown of the disk decides whether the next is tried."""

from __future__ import annotations

import pytest

from app.storage.disk_state import DiskFull, DiskState, WritingSuspended


def test_a_full_disk_does_not_end_a_suspension() -> None:
    state = DiskState()
    state.failed(WritingSuspended, OSError("input/output error"))
    state.failed(DiskFull, OSError("no space left"))
    with pytest.raises(WritingSuspended):
        state.check_writing()
    state.succeeded()
    state.check_writing()


def test_a_suspension_follows_a_full_disk() -> None:
    state = DiskState()
    state.failed(DiskFull, OSError("no space left"))
    state.check_writing()  # smaller writes may find room
    state.failed(WritingSuspended, OSError("input/output error"))
    with pytest.raises(WritingSuspended):
        state.check_writing()
