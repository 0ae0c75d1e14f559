"""A search through an assistant's events, which stops in time: the next page goes on there."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING

from app.pages import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from events.changed import Event

SECONDS = 2.0  # for a page, of the thread's own time: load on the machine must not count


class Budget:
    """The time of a search: so many seconds of the thread's own time, by default ``SECONDS``.

    To look at the clock takes as long as a short step of a search: it is done once in ``steps``.
    """

    def __init__(self, seconds: float | None = None, *, steps: int = 1) -> None:
        self._until = thread_time() + (SECONDS if seconds is None else seconds)
        self._steps = steps
        self._taken = 0

    @property
    def is_spent(self) -> bool:
        """Whether the time was over at the last look."""
        is_looking = self._taken % self._steps == 0
        self._taken += 1
        return is_looking and thread_time() > self._until


class Search:
    """A search that stops after ``seconds``, and knows at which version."""

    def __init__(self, seconds: float | None = None) -> None:
        self._budget = Budget(seconds)
        self._stopped_at: int | None = None

    def through(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events, while there is time; one at least."""
        for event in events:
            yield event
            if self._budget.is_spent:
                self._stopped_at = event.version
                return

    def page(self, page: Page) -> Page:
        """The page of what was found, which goes on where the search stopped."""
        return page if page.end is not None else Page(page.rows, self._stopped_at)
