"""One search over an organization: assistants, settings, values, reasons, people and labels.

Each kind is bounded: by the number of results, and by the time of ``searching.SECONDS``. What is
hidden as a secret is not searched.
"""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec
from msgspec import Struct

from app.assistants import setting_labels
from app.assistants.searching import Budget
from app.assistants.setting_labels import SettingLabel
from events import codec, log_search, pointers
from events.changed import Actor, Event
from events.log_search import EventFilter
from events.secrets.masks import is_mask
from events.secrets.references import mask
from events.setting_types import Moment
from projections import current, labels
from projections.casefolding import casefolded
from projections.current import Selection, ShortAssistant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from events.changed import State

Kind = Literal["assistants", "definitions", "settings", "changes", "people", "labels"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_STEPS = 16  # assistants or changes between two looks at the clock
_AROUND = 80  # characters of a value on each side of what was found
_BY_NAME = ("/name", "/description")  # an assistant is found by these as a whole
_TAGS = tuple(tag for kind in get_args(Event) for tag in codec.tags_of(kind))


class FoundSetting(Struct, frozen=True, kw_only=True):
    """A setting whose value holds the text; ``excerpt`` is the value around it, masked."""

    assistant_id: int
    assistant_name: str
    path: str
    excerpt: str


class FoundChange(Struct, frozen=True, kw_only=True):
    """A change whose reason holds the text."""

    assistant_id: int
    assistant_name: str
    version: int
    created_at: Moment
    actor: Actor
    change_description: str | None


class FoundPerson(Struct, frozen=True, kw_only=True):
    """A user or key whose name holds the text, with the newest of its changes."""

    actor: Actor
    last_change: FoundChange


class FoundLabel(Struct, frozen=True, kw_only=True):
    """A label that holds the text."""

    assistant_id: int
    assistant_name: str
    version: int
    label: str


class Found(Struct, frozen=True, kw_only=True):
    """What a search found, by kind; ``stopped`` are the kinds that may have more."""

    q: str
    assistants: list[ShortAssistant]
    definitions: list[SettingLabel]
    settings: list[FoundSetting]
    changes: list[FoundChange]
    people: list[FoundPerson]
    labels: list[FoundLabel]
    stopped: list[Kind]


class Query(Struct, frozen=True, kw_only=True, dict=True):
    """What to find: a text, among which kinds, in settings at or below a path, and how many."""

    text: str
    kinds: tuple[Kind, ...] = KINDS
    path: str = ""
    limit: int = 20

    def is_in(self, text: str) -> bool:
        """Whether a text contains the search term, ignoring case."""
        return casefolded(self.text) in casefolded(text)

    def may_be_in(self, body: bytes) -> bool:
        """Whether JSON may hold it in one of its texts; fast, for most do not."""
        escaped = self._escaped
        if escaped.isascii():
            # Composing letters, which takes long, makes no ASCII text: ``is_in`` looks closely.
            return escaped in body.decode().casefold()
        return escaped in casefolded(body.decode())

    @cached_property
    def _escaped(self) -> str:
        return casefolded(msgspec.json.encode(self.text)[1:-1].decode())


class Search:
    """A search of an organization on a connection."""

    def __init__(self, connection: sa.Connection, organization_id: int, query: Query) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._query = query
        self._stopped: set[Kind] = set()

    def run(self) -> Found:
        """What is found."""
        changes, people = self._log()
        found = {
            "assistants": self._first("assistants", self._assistants()),
            "definitions": self._first("definitions", self._definitions()),
            "settings": self._first("settings", self._settings()),
            "changes": changes,
            "people": people,
            "labels": self._first("labels", self._labels()),
        }
        stopped = [kind for kind in KINDS if kind in self._stopped]
        return Found(q=self._query.text, stopped=stopped, **found)

    def _first(self, kind: Kind, found: Iterator[Any]) -> list[Any]:
        """The first results of a kind, of which there may be more."""
        if kind not in self._query.kinds:
            return []
        first = list(islice(found, self._query.limit + 1))
        if len(first) > self._query.limit:
            self._stopped.add(kind)
        return first[: self._query.limit]

    def _assistants(self) -> Iterator[ShortAssistant]:
        selection = Selection(search=self._query.text)
        yield from current.select_short(
            self._connection, self._organization_id, selection, limit=self._query.limit + 1
        )

    def _definitions(self) -> Iterator[SettingLabel]:
        """The settings that are called so, whatever their values."""
        for one in setting_labels.called(self._query.text):
            if pointers.covers(self._query.path, one.path):
                yield one

    def _settings(self) -> Iterator[FoundSetting]:
        budget = Budget(steps=_STEPS)
        states = current.holding(self._connection, self._organization_id, self._query.may_be_in)
        for assistant_id, name, state in states:
            if state is not None:
                yield from self._in_settings(assistant_id, name, state)
            if budget.is_spent:
                self._stopped.add("settings")
                return

    def _in_settings(self, assistant_id: int, name: str, state: State) -> Iterator[FoundSetting]:
        shown = mask(state.known, state.erased_version)
        for path, value in pointers.flatten(shown).items():
            if path in _BY_NAME or not pointers.covers(self._query.path, path):
                continue
            for text in _texts(value):
                if self._query.is_in(text):
                    yield FoundSetting(
                        assistant_id=assistant_id,
                        assistant_name=name,
                        path=path,
                        excerpt=_excerpt(text, self._query.text),
                    )
                    break

    def _log(self) -> tuple[list[FoundChange], list[FoundPerson]]:
        """The newest changes whose reason matches, and the people whose name does."""
        if not {"changes", "people"} & set(self._query.kinds):
            return [], []
        changes: list[Event] = []
        people: dict[tuple[str, int], Event] = {}
        for event in self._matching_events():
            if event.reason and self._query.is_in(event.reason):
                changes.append(event)
            if self._query.is_in(event.actor.name):
                people.setdefault((event.actor.type, event.actor.id), event)
            if len(changes) > self._query.limit:
                self._stopped |= {"changes", "people"}
                break
        found = self._named([*changes[: self._query.limit], *people.values()])
        first = found[: min(len(changes), self._query.limit)]
        persons = [
            FoundPerson(actor=change.actor, last_change=change) for change in found[len(first) :]
        ]
        return (
            self._first("changes", iter(first)),
            self._first("people", iter(persons)),
        )

    def _matching_events(self) -> Iterator[Event]:
        """The newest events that may match, while there is time."""
        budget = Budget(steps=_STEPS)
        stored = log_search.read_stored(
            self._connection, self._organization_id, EventFilter(tags=_TAGS), newest_first=True
        )
        with closing(stored):
            for _, body, _ in chain.from_iterable(stored):
                if self._query.may_be_in(body):
                    yield codec.outline(body, codec.tag_in(body))  # type: ignore[misc]  # by its tags
                if budget.is_spent:
                    self._stopped |= {"changes", "people"}
                    return

    def _named(self, events: list[Event]) -> list[FoundChange]:
        """Changes with the names of their assistants."""
        ids = {event.assistant_id for event in events}
        names, _ = current.names_and_erasures(self._connection, self._organization_id, ids)
        return [
            FoundChange(
                assistant_id=event.assistant_id,
                assistant_name=names[event.assistant_id],
                version=event.version,
                created_at=event.occurred_at,
                actor=event.actor,
                change_description=event.reason,
            )
            for event in events
        ]

    def _labels(self) -> Iterator[FoundLabel]:
        matching = [
            row
            for row in labels.all_labels(self._connection, self._organization_id)
            if self._query.is_in(row.label)
        ][: self._query.limit + 1]
        ids = {row.assistant_id for row in matching}
        names, _ = current.names_and_erasures(self._connection, self._organization_id, ids)
        for row in matching:
            yield FoundLabel(
                assistant_id=row.assistant_id,
                assistant_name=names[row.assistant_id],
                version=row.version,
                label=row.label,
            )


def search(connection: sa.Connection, organization_id: int, query: Query) -> Found:
    """What an organization's assistants and their past hold of a text."""
    return Search(connection, organization_id, query).run()


def _texts(value: Any) -> Iterable[str]:
    """The texts of a value; masks, booleans and null have none."""
    match value:
        case str():
            return () if is_mask(value) else (value,)
        case bool() | None:
            return ()
        case list() | dict():
            members = value.values() if isinstance(value, dict) else value
            return chain.from_iterable(_texts(member) for member in members)
        case _:
            return (str(value),)


def _excerpt(text: str, term: str) -> str:
    """A text around what was found in it."""
    at = max(casefolded(text).find(casefolded(term)), 0)
    start, end = max(at - _AROUND, 0), at + len(term) + _AROUND
    before, after = "\u2026" if start else "", "\u2026" if end < len(text) else ""
    return f"{before}{text[start:end]}{after}"
