"""Memory that large values needed goes back to the system, though small ones lie between them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.forking import ROOT

_MANY, _LARGE = 60, 1_000_000
_PROGRAM = f"""
import sys
from app import allocator
if sys.argv[1] == "True":
    allocator.return_large_blocks()
bytes(20_000_000)  # freed at once: from now on glibc takes smaller blocks from the heap
kept, large = [], []
for number in range({_MANY}):
    large.append(b"x" * {_LARGE})
    kept.append(b"x" * 1000)
large.clear()
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * 4096)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such size")
def test_large_values_leave_nothing_behind() -> None:
    guarded, control = (_resident(is_guarded=is_guarded) for is_guarded in (True, False))
    assert control - guarded > 10 * _LARGE


def _resident(*, is_guarded: bool) -> int:
    """Bytes that a process has in memory, after large values are gone and small ones are not."""
    command = [sys.executable, "-c", _PROGRAM, str(is_guarded)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
