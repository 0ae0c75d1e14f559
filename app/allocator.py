"""The C library's allocator: what a flood of large requests needed goes back to the system.

glibc maps a large block by itself, and unmaps it when it is freed. But with the first of them that
is freed, the size from which it does so grows, up to 32 MiB. Then large values lie in the heap,
between small ones that stay, and their memory is kept: hundreds of megabytes after some exports.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # parameters of ``mallopt``, in malloc.h
_LARGE = 256 * 1024  # bytes: no block of usual requests is as large
_ARENAS = 2  # heaps of all threads together: each keeps what its threads needed at most
_KEPT = 4 * 1024 * 1024  # bytes at the end of a heap, which the next requests need


def return_large_blocks() -> None:
    """Fix the size from which a block is mapped by itself, and the number of heaps.

    Threads that begin later share these heaps. Does nothing but on glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_ARENA_MAX, _ARENAS)
