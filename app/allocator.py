"""The C library's allocator: what a flood of large requests needed goes back to the system.

glibc maps a large block by itself, and unmaps it when it is freed. But with the first of them that
is freed, the size from which it does so grows, up to 32 MiB. Then large values lie in the heap,
between small ones that stay, and their memory is kept: hundreds of megabytes after some exports.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of ``mallopt``, in malloc.h
_LARGE = 256 * 1024  # bytes: no block of usual requests is as large
_KEPT = 4 * 1024 * 1024  # bytes at the end of a heap, which the next requests need


def return_large_blocks() -> None:
    """Fix the size from which a block is mapped by itself. Does nothing but on glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _KEPT)
