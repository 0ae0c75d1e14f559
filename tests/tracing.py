"""How much memory something holds."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """How many bytes are held that were allocated since."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()

        def held() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before

        yield held
    finally:
        tracemalloc.stop()
