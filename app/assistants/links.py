"""Links between versions: which ones an event reverts, and which ones revert it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.lru import LRUCache
from events import codec, store
from events.changed import AssistantCreated, AssistantSettingsChanged, SecretsErased, changes_of
from projections import reversals
from projections.history import Links

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from events.assistant_key import AssistantKey
    from events.changed import Event
    from projections.reversals import Reversal

_MOST_REVERTED = 200  # versions that are searched for one event's ``reverts``
_CACHED_BYTES = 4 * 1024 * 1024  # of paths, which the reversals of a page have in common
_PATH_OVERHEAD = 100  # bytes that a path takes beside its text
_CHANGING = (*codec.tags_of(AssistantCreated), *codec.tags_of(AssistantSettingsChanged))


class LinkReader:
    """Reads the links of an assistant's events, which come newest first.

    It reads ``ahead``, a number of versions: then a page takes one query of each kind. No query
    reads settings, except for rollbacks of some paths: those need the paths of other events.
    """

    def __init__(self, connection: sa.Connection, key: AssistantKey, ahead: int) -> None:
        self._connection = connection
        self._key = key
        self._ahead = ahead
        self._reaching: list[Reversal] = []
        self._reaching_into = range(0)
        self._tags: dict[int, str] = {}
        self._tagged = range(0)
        self._paths: LRUCache[int, tuple[str, ...]] = LRUCache(_CACHED_BYTES)

    def links_of(self, event: Event) -> Links:
        """The links of an event, which may be an outline."""
        return Links(self._reverts(event), self._reverted_by(event))

    def _reverted_by(self, event: Event) -> list[int]:
        if isinstance(event, SecretsErased):
            return []
        version, paths = event.version, changes_of(event)
        if version not in self._reaching_into:
            self._reaching_into = range(version - self._ahead, version + 1)
            self._reaching = reversals.reaching(
                self._connection, *self._key, version - self._ahead, version
            )
        return [one.version for one in self._reaching if one.reverts(version, paths)]

    def _reverts(self, event: Event) -> list[int]:
        reversal = reversals.made_by(event)
        if reversal is None:
            return []
        last = reversal.last_version
        first = max(reversal.first_version, last - _MOST_REVERTED + 1)
        if first >= last:  # one version, which is always reverted, or none
            return list(range(first, last + 1))
        if reversal.is_whole and self._are_current(first, last):
            reverted: Iterable[int] = self._changing(first, last)
        else:
            reverted = self._overlapping(reversal, first, last)
        return sorted(reverted, reverse=True)

    def _are_current(self, first: int, last: int) -> bool:
        """Whether no event of a range is of an older shape, which may have lost its changes."""
        if first not in self._tagged or last not in self._tagged:
            since = max(first - self._ahead, 1)
            self._tags = store.read_tags(self._connection, *self._key, since, last)
            self._tagged = range(since, last + 1)
        return all(self._tags[version] in codec.TODAY for version in range(first, last + 1))

    def _changing(self, first: int, last: int) -> Iterator[int]:
        """The versions of a range that changed settings."""
        return (one for one in range(first, last + 1) if self._tags[one] in _CHANGING)

    def _overlapping(self, reversal: Reversal, first: int, last: int) -> Iterator[int]:
        """The versions of a range that changed paths of a reversal."""
        missing = []
        for version in range(first, last + 1):
            paths = self._paths.get(version)
            if paths is None:
                missing.append(version)
            elif reversal.reverts(version, paths):
                yield version
        if not missing:
            return
        for version, changed in store.read_paths(
            self._connection, *self._key, missing[0] - 1, missing[-1]
        ):
            paths = tuple(changed)  # the texts alone, without the bytes of the event
            self._paths.put(
                version, paths, sum(map(len, paths)) + _PATH_OVERHEAD * (1 + len(paths))
            )
            if version in missing and reversal.reverts(version, paths):
                yield version
