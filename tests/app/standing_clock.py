"""A clock that stands until a test moves it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from events.tables import to_micros
from tests.app.transactions.keyed_requests import PATIENCE
from tests.databases import execute

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path


class Clock:
    """A server's clock that stands until the test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()


def confirm(database: Path, clock: Clock) -> None:
    """No server has seen the time pass: the operator says that it did."""
    execute(database, f"UPDATE organizations SET observed_at = {to_micros(clock.now)}")


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
