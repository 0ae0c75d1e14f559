"""Compare versions: what differs between two, and which change set each value (blame)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.assistants import references
from app.assistants.current import head_outline
from app.assistants.searching import Search
from app.pages import Page, page_of
from events import codec, pointers, store
from events.assistant_key import AssistantKey
from events.changed import changes_of
from events.secrets.references import mask
from projections import blame as blaming
from projections import history, keyframes, words
from projections.history import ChangedPath, ChangeSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from app.assistants.references import Reference
    from events.changed import AssistantSettingsChanged, Event, LogEvent, State
    from projections.blame import BlamedPath

_MOST_CHANGERS = 100  # versions that one path of a diff lists


class DiffEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path that two versions hold differently, masked; a side is absent for nothing."""

    path: str
    op: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET
    changed_by: list[int] = msgspec.field(default_factory=list)
    words: list[words.Hunk] | UnsetType = UNSET


class BlameEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path, its value, and the change that set it; ``value`` is absent if removed.

    In the history of one path, ``changes`` are what the change did at and below it instead.
    """

    path: str
    changed_by: ChangeSummary
    value: Any | UnsetType = UNSET
    changes: list[ChangedPath] | UnsetType = UNSET


def diff(
    connection: sa.Connection,
    key: AssistantKey,
    older: Reference,
    newer: Reference,
    *,
    by_words: bool = False,
    with_changers: bool = True,
    include_deleted: bool = False,
) -> list[DiffEntry]:
    """What turns one version into another, and which versions between them changed each path.

    ``with_changers`` reads all events between the two.
    """
    newest = head_outline(connection, key, include_deleted=include_deleted)
    ends = [references.resolve(connection, key, newest.version, end) for end in (older, newer)]
    before, after = (keyframes.state_at(connection, *key, end).settings for end in ends)
    changes = pointers.diff(before, after)
    between = store.read_stream(
        connection,
        *key,
        newest_first=True,
        after=min(ends),
        until=max(ends),
        decode=codec.outline,
    )
    changers = _changers(changes, between if with_changers else ())
    return [
        _diff_entry(path, change, changers[path], newest.erased_version, by_words=by_words)
        for path, change in changes.items()
    ]


def entries_of(event: AssistantSettingsChanged, erased_version: int) -> list[DiffEntry]:
    """What one change did, as a diff."""
    return [
        _diff_entry(path, change, [event.version], erased_version)
        for path, change in event.changes.items()
    ]


def blame(
    connection: sa.Connection,
    key: AssistantKey,
    reference: Reference,
    after: int,
    *,
    include_deleted: bool = False,
) -> tuple[int, Page]:
    """Every path that ever changed, and the change that set its value at a version.

    Returns the version, and the page that follows the first ``after`` paths.
    """
    newest = head_outline(connection, key, include_deleted=include_deleted)
    version = references.resolve(connection, key, newest.version, reference)
    settings = keyframes.state_at(connection, *key, version).settings
    blamed = list(blaming.paths(keyframes.blame_at(connection, *key, version), settings))
    events = store.read_versions(connection, *key, {path.version for path in blamed})
    summaries = {event.version: _without_paths(event) for event in events}
    rows = (
        (number, _blame_entry(path, summaries[path.version], newest))
        for number, path in enumerate(blamed[after:], after + 1)
    )
    return version, page_of(rows, len(blamed))


def _without_paths(event: Event) -> ChangeSummary:
    return msgspec.structs.replace(history.summary(event), paths=[], more_paths=0)


def changes_of_path(
    connection: sa.Connection,
    key: AssistantKey,
    path: str,
    reference: Reference,
    before_version: int | None,
    limit: int,
    *,
    include_deleted: bool = False,
) -> Page:
    """The newest ``limit`` changes of a path up to a version, each with what it did there."""
    newest = head_outline(connection, key, include_deleted=include_deleted)
    until = references.resolve(connection, key, newest.version, reference)
    if before_version is not None:
        until = min(until, before_version - 1)
    events = store.read_stream(
        connection, *key, newest_first=True, until=until, decode=partial(_decode_touching, path)
    )
    search = Search()
    entries = (
        (event.version, entry)
        for event in search.through(events)
        for entry in _touching(event, path, newest)
    )
    return search.page(page_of(entries, limit))


def _decode_touching(path: str, body: bytes, tag: str) -> LogEvent:
    """An event with its values if it changed something at a path, below it or above it."""
    touches = any(pointers.overlaps(path, at) for at in codec.changed_paths(body, tag))
    return codec.decode(body, tag) if touches else codec.outline(body, tag)


def _touching(event: Event, path: str, newest: State) -> Iterator[BlameEntry]:
    """What an event did at a path, below it or above it; nothing if it changed other paths."""
    touched = {
        at: change for at, change in changes_of(event).items() if pointers.overlaps(path, at)
    }
    if touched:
        summary = history.summary(event)
        yield BlameEntry(
            path=path,
            changed_by=msgspec.structs.replace(summary, paths=list(touched), more_paths=0),
            changes=history.changed_paths(touched, newest.erased_version),
        )


def _changers(changes: pointers.Changes, newest_first: Iterable[Event]) -> dict[str, list[int]]:
    """For each path the versions that touched it."""
    changers: dict[str, list[int]] = {path: [] for path in changes}
    below: dict[str, list[str]] = {}
    for path in changes:
        for above in pointers.ancestors(path):
            below.setdefault(above, []).append(path)
    unfilled = len(changers)
    for event in newest_first:
        if not unfilled:
            break
        overlapping = {
            path
            for touched in changes_of(event)
            for path in (touched, *pointers.ancestors(touched), *below.get(touched, ()))
            if path in changers
        }
        for path in overlapping:
            if len(changers[path]) < _MOST_CHANGERS:
                changers[path].append(event.version)
                unfilled -= len(changers[path]) == _MOST_CHANGERS
    return changers


def _blame_entry(blamed: BlamedPath, summary: ChangeSummary, newest: State) -> BlameEntry:
    return BlameEntry(
        path=blamed.path,
        value=mask(blamed.value, newest.erased_version),
        changed_by=msgspec.structs.replace(summary, paths=[blamed.path], more_paths=0),
    )


def _diff_entry(
    path: str,
    change: pointers.Change,
    changers: list[int],
    erased_version: int,
    *,
    by_words: bool = False,
) -> DiffEntry:
    before, after = mask(change.before, erased_version), mask(change.after, erased_version)
    hunks = words.between(before, after) if by_words else None
    return DiffEntry(
        path=path,
        op=_operation(change),
        before=before,
        after=after,
        changed_by=changers,
        words=UNSET if hunks is None else hunks,
    )


def _operation(change: pointers.Change) -> str:
    """The operation of JSON Patch (RFC 6902) that makes the change."""
    if change.before is UNSET:
        return "add"
    return "remove" if change.after is UNSET else "replace"
