"""The work that waits for the write queue: a lane for each organization, in turn, with limits.

Within an organization, work keeps the order in which it came. A batch takes one piece of each lane
after the other, so that an organization with thousands of changes does not delay another's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from msgspec import Struct

from events.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


class Work(Protocol):
    """Work that can wait."""

    @property
    def organization_id(self) -> int | None:
        """The organization that it changes; None for work that belongs to none yet."""

    @property
    def size(self) -> int:
        """The bytes of its request's body."""

    @property
    def is_alone(self) -> bool:
        """Whether it gets a batch of its own."""


W = TypeVar("W", bound=Work)


class Limit(Struct, frozen=True, kw_only=True):
    """How much work may wait: pieces, and the bytes of their bodies."""

    count: int
    size: int


OF_ORGANIZATION = Limit(count=1000, size=32 * 1024 * 1024)
OF_PROCESS = Limit(count=4000, size=128 * 1024 * 1024)


class TooManyWaiting(DomainError):
    """The limit for waiting work is reached, by the organization or by all of them."""

    def __init__(self, limit: Limit, *, is_own: bool) -> None:
        super().__init__(limit)
        self.limit = limit
        self.is_own = is_own  # the organization's own


class WaitingWork(Generic[W]):
    """The lanes of all organizations. The first lane is the next to be served.

    A batch has work of as many organizations as wait, or of ``most_lanes``.
    """

    def __init__(self, most_lanes: int | None = None) -> None:
        self._most_lanes = most_lanes
        self._lanes: OrderedDict[int | None, deque[W]] = OrderedDict()
        self._sizes: dict[int | None, int] = {}  # the bytes of each lane
        self._count = 0
        self._size = 0
        self._was_alone = False  # the work of the last batch

    def __len__(self) -> int:
        return self._count

    def check(self, organization_id: int | None, size: int) -> None:
        """Raise ``TooManyWaiting`` if there is no room for one more, of this size.

        Where nothing waits there is room for any.
        """
        count = len(self._lanes.get(organization_id, ()))
        _check(OF_ORGANIZATION, count, self._sizes.get(organization_id, 0) + size, is_own=True)
        _check(OF_PROCESS, self._count, self._size + size, is_own=False)

    def put(self, work: W) -> None:
        """Add work at the end of its organization's lane."""
        self._lane(work).append(work)

    def put_back(self, batch: Sequence[W], *, is_next: bool = False) -> None:
        """Return work that was taken to the front of its lanes, in the same order.

        The lanes are served after all others, or next.
        """
        for work in reversed(batch):
            self._lane(work).appendleft(work)
            self._lanes.move_to_end(work.organization_id, last=not is_next)

    def take(self, most: int) -> list[W]:
        """The next batch: one piece of each lane in turn; there must be some.

        Work that gets a batch of its own is passed over, together with its lane, until that is the
        first of all. Between two such pieces is a batch of the others.
        """
        first = next(iter(self._lanes))
        was_alone, is_alone = self._was_alone, self._lanes[first][0].is_alone
        ready = self._ready(self._lanes)[: self._most_lanes]
        self._was_alone = is_alone and not (was_alone and ready)
        if self._was_alone:
            return [self._pop(first)]
        batch: list[W] = []
        while ready and len(batch) < most:
            batch += map(self._pop, ready[: most - len(batch)])
            ready = self._ready(ready)
        return batch

    def remove(self, work: W) -> None:
        """Remove work that nobody waits for any more, if it was not taken yet."""
        lane = self._lanes.get(work.organization_id)
        if lane is not None and work in lane:
            lane.remove(work)
            self._subtract(work)

    def of(self, organization_id: int | None) -> list[W]:
        """The waiting work of an organization, in order."""
        return list(self._lanes.get(organization_id, ()))

    def is_only_of(self, organization_ids: Collection[int | None]) -> bool:
        """Whether nothing waits but work of these organizations."""
        return self._lanes.keys() <= set(organization_ids)

    def _lane(self, work: W) -> deque[W]:
        """The lane for work that comes into it."""
        organization_id = work.organization_id
        self._count += 1
        self._size += work.size
        self._sizes[organization_id] = self._sizes.get(organization_id, 0) + work.size
        return self._lanes.setdefault(organization_id, deque())

    def _ready(self, ids: Iterable[int | None]) -> list[int | None]:
        """Those of some lanes whose next work can share a batch."""
        lanes = self._lanes
        return [id_ for id_ in ids if id_ in lanes and not lanes[id_][0].is_alone]

    def _pop(self, organization_id: int | None) -> W:
        work = self._lanes[organization_id].popleft()
        self._lanes.move_to_end(organization_id)
        self._subtract(work)
        return work

    def _subtract(self, work: W) -> None:
        organization_id = work.organization_id
        self._count -= 1
        self._size -= work.size
        self._sizes[organization_id] -= work.size
        if not self._lanes[organization_id]:
            del self._lanes[organization_id], self._sizes[organization_id]


def _check(limit: Limit, count: int, size: int, *, is_own: bool) -> None:
    if count and (count >= limit.count or size > limit.size):
        raise TooManyWaiting(limit, is_own=is_own)
