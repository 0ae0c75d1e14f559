"""Which assistants show certain settings: compared in portions, before others wait for a lock."""

from __future__ import annotations

from functools import partial
from time import thread_time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from events import pointers
from events.errors import DomainError
from events.secrets.references import mask
from projections import current

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import sqlalchemy as sa

    from app.storage.database import Database
    from events.changed import State
    from projections.current import Selection, Stamp

MOST_COMPARED = 2000  # assistants
SECONDS = 10.0  # of the threads' own time: load on the machine must not count
_AT_ONCE = 100  # assistants
_PORTION_SECONDS = 0.1  # of one snapshot


class TooManyToCompare(DomainError):
    """``count`` assistants are selected."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class ComparedTooLong(DomainError):
    """The time was over when ``compared`` of ``total`` assistants had been compared."""

    def __init__(self, *, compared: int, total: int) -> None:
        super().__init__(compared, total)
        self.compared = compared
        self.total = total


class Compared(Struct, frozen=True, kw_only=True):
    """Assistants that were compared, by id: their stamps then, and which of them match."""

    stamps: Mapping[int, Stamp]
    matching: frozenset[int]

    def changed(self, stamps: Mapping[int, Stamp]) -> list[int]:
        """The assistants that have other stamps now, or were not compared."""
        return [one for one, stamp in stamps.items() if self.stamps.get(one) != stamp]


async def compare(
    database: Database,
    organization_id: int,
    selection: Selection,
    settings: Mapping[str, Any],
    most: int = MOST_COMPARED,
) -> Compared:
    """Compare the selected assistants, at most so many, with shown values, given by path.

    Each portion is read in a snapshot of its own, so that others have their turns between. Raises
    ``TooManyToCompare`` and ``ComparedTooLong``.
    """
    selected = partial(current.select_stamps, organization_id=organization_id, selection=selection)
    stamps, _ = await database.snapshot(organization_id, selected)
    ids = list(stamps)
    if len(ids) > most:
        raise TooManyToCompare(len(ids))
    found: dict[int, tuple[Stamp, bool]] = {}
    seconds = 0.0
    while len(found) < len(ids):
        if seconds > SECONDS:
            raise ComparedTooLong(compared=len(found), total=len(ids))
        some = ids[len(found) : len(found) + _AT_ONCE]
        read = partial(_portion, organization_id=organization_id, ids=some, settings=settings)
        portion, took = await database.export_portion(organization_id, read)
        if not portion:  # no row is ever removed
            raise LookupError(f"no assistant of {some}")
        found |= portion
        seconds += took
    return Compared(
        stamps={one: stamp for one, (stamp, _) in found.items()},
        matching=frozenset(one for one, (_, is_match) in found.items() if is_match),
    )


def matching(
    connection: sa.Connection, organization_id: int, ids: Iterable[int], settings: Mapping[str, Any]
) -> Iterator[int]:
    """Those of the assistants that show these values, by path."""
    for assistant_id, state in current.load_each(connection, organization_id, ids):
        if _shows(state, settings):
            yield assistant_id


def _portion(
    connection: sa.Connection, organization_id: int, ids: list[int], settings: Mapping[str, Any]
) -> tuple[dict[int, tuple[Stamp, bool]], float]:
    """By id the stamps of the first of some assistants, and whether they match; and the seconds."""
    begun = thread_time()
    found: dict[int, tuple[Stamp, bool]] = {}
    for assistant_id, state in current.load_each(connection, organization_id, ids):
        found[assistant_id] = current.stamp_of(state), _shows(state, settings)
        if thread_time() - begun > _PORTION_SECONDS:
            break
    return found, thread_time() - begun


def _shows(state: State, settings: Mapping[str, Any]) -> bool:
    """Whether a state shows these values. Only the members that they are in are looked at."""
    names = {name for path in settings for name in pointers.split(path)[:1]}
    chosen = {name: state.settings[name] for name in names & state.settings.keys()}
    known = msgspec.structs.replace(state, settings=chosen).known
    return all(
        pointers.alike(mask(pointers.at(known, path), state.erased_version), value)
        for path, value in settings.items()
    )
