"""The merge that an answer shows: the changes since the base version, and the conflicts.

Of a stored answer, the long values of conflicts are not stored, since versions have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from app.assistants import current
from app.assistants.requests import Clash, Outcome
from app.transactions.answers import ValueAt
from events import pointers
from events.secrets.references import mask
from projections.history import ChangeSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from events.assistant_key import AssistantKey

_LONG = 100  # bytes of JSON


class Merge(Struct, frozen=True, kw_only=True):
    """The changes between the version that the author had read and the current one."""

    base_version: int
    came_between: list[ChangeSummary]
    conflicts: list[Clash]


def merge_of(outcome: Outcome) -> Merge | None:
    """The merge that a change was; None for any other."""
    if outcome.base_version is None:
        return None
    return Merge(
        base_version=outcome.base_version,
        came_between=list(outcome.came_between),
        conflicts=list(outcome.conflicts),
    )


def long_values(outcome: Outcome) -> list[ValueAt]:
    """Where the long values of the conflicts are."""
    return [
        ValueAt(conflict=number, side=side, version=version)
        for number, conflict in enumerate(outcome.conflicts)
        for side, version in _versions(outcome, conflict)
        if len(_json(getattr(conflict, side))) > _LONG
    ]


def _versions(outcome: Outcome, conflict: Clash) -> Iterator[tuple[str, int]]:
    """The sides of a conflict whose value a version has, with that version."""
    if outcome.base_version is not None:
        yield "base", outcome.base_version
    yield "theirs", outcome.before.version
    state = outcome.state
    after = mask(pointers.at(state.settings, conflict.path), state.erased_version)
    if _json(after) == _json(conflict.yours):
        yield "yours", state.version


def _json(value: Any) -> bytes:
    return b"" if value is UNSET else msgspec.json.encode(value)


def without_values(merge: Merge, values: Iterable[ValueAt]) -> Merge:
    """The merge without these values."""
    return _with_sides(merge, ((value, UNSET) for value in values))


def with_values(
    connection: sa.Connection,
    key: AssistantKey,
    merge: Merge,
    values: Iterable[ValueAt],
    erased_version: int,
) -> Merge:
    """The merge with these values, as they are in their versions; the opposite of the above."""
    versions = {value.version for value in values}
    settings = {one: current.after(connection, key, one).settings for one in versions}

    def read(value: ValueAt) -> Any:
        path = merge.conflicts[value.conflict].path
        return mask(pointers.at(settings[value.version], path), erased_version)

    return _with_sides(merge, ((value, read(value)) for value in values))


def _with_sides(merge: Merge, sides: Iterable[tuple[ValueAt, Any]]) -> Merge:
    conflicts = list(merge.conflicts)
    for at, value in sides:
        conflicts[at.conflict] = msgspec.structs.replace(conflicts[at.conflict], **{at.side: value})
    return msgspec.structs.replace(merge, conflicts=conflicts)
