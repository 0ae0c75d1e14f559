"""given(events).when(command).then(events): the core, as stories.

A fact is written without its place in the stream; ``given`` counts the versions, one minute
apart. Expected settings come from the published Structs and from RFC 7396 as its text has it,
never from the code under test.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec import UNSET, Struct

from events import codec, pointers
from events.bodies.patch import SettingsPatch, read_create, read_patch
from events.changed import (
    Actor,
    AssistantCreated,
    AssistantDeleted,
    AssistantSettingsChanged,
    Cause,
    Event,
    State,
    fold,
)
from events.commands import ChangeSettings, Command, CreateAssistant, Envelope
from events.decider import decide
from events.errors import DomainError, InvalidSettings
from events.meaning import as_meant
from events.merging import seal
from events.pointers import Change, Path, Tree
from events.policy import Policy
from events.secrets.values import Plain, url_members
from events.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    Fact = Callable[[int], Event]
    R = TypeVar("R", bound=DomainError)

ACTOR = Actor(type="api_key", id=7, name="Front office", user_id=3)
ORGANIZATION, ASSISTANT = 1, 4
NAME = "Front desk"
DEFAULTS: Tree = msgspec.to_builtins(Settings(name=NAME))
PATCH = Cause(type="patch")
_START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


# -- facts


def at(version: int) -> datetime:
    """When the event of a version occurred."""
    return _START + timedelta(minutes=version)


def envelope(version: int, reason: str | None = None) -> Envelope:
    return Envelope(
        organization_id=ORGANIZATION,
        sequence=version,
        assistant_id=ASSISTANT,
        occurred_at=at(version),
        actor=ACTOR,
        reason=reason,
    )


def created(settings: Tree | None = None, cause: Cause | None = None) -> Fact:
    """A creation; ``settings`` are merged into the published defaults."""
    complete = merged(DEFAULTS, settings or {})
    changes = {path: Change(after=value) for path, value in pointers.flatten(complete).items()}
    how = cause or Cause(type="create")
    return lambda version: AssistantCreated(cause=how, changes=changes, **_said(version))


def changed(paths: dict[str, tuple[Any, Any]], cause: Cause = PATCH) -> Fact:
    """A change; each path with what it held before and what it holds after."""
    changes = {path: Change(before=old, after=new) for path, (old, new) in paths.items()}
    return lambda version: AssistantSettingsChanged(cause=cause, changes=changes, **_said(version))


def deleted() -> Fact:
    return lambda version: AssistantDeleted(cause=Cause(type="delete"), **_said(version))


def _said(version: int) -> dict[str, Any]:
    said = envelope(version)
    return {name: getattr(said, name) for name in said.__struct_fields__} | {"version": version}


# -- commands


def secret(identity: str) -> Tree:
    """A reference as the vault makes them."""
    return {"$secret": {"id": identity}}


def sealed(tree: Tree, ids: Iterator[int] | None = None) -> Tree:
    """The tree with a new reference for each Plain."""
    numbers = ids or itertools.count()

    def reference_to(plain: Plain, _: Path) -> Tree:
        return secret(f"id-{next(numbers)}") | url_members(plain)

    tree_with_references: Tree = seal(tree, reference_to)
    return tree_with_references


def create(body: Tree) -> CreateAssistant:
    return CreateAssistant(patch=sealed(read_create({"name": NAME} | body).tree))


def patch(body: Tree, ids: Iterator[int] | None = None) -> ChangeSettings:
    return ChangeSettings(patch=sealed(read_patch(body).tree, ids), cause=PATCH)


def sent_to(
    story: Given,
    read: SettingsPatch,
    policy: Policy | None = None,
    *,
    base: Tree | None = None,
) -> ChangeSettings:
    """What becomes of a body that was read and sent to the assistant of a story."""
    command = ChangeSettings(
        patch=read.tree, sent=read.sent, broken=read.broken, cause=PATCH, base=base
    )
    command = as_meant(command, story.state, policy or Policy())
    return msgspec.structs.replace(command, patch=sealed(command.patch, itertools.count(1000)))


def settings_after(*bodies: Tree) -> Tree:
    """The settings that a creation and then patches leave."""
    first, *others = bodies
    story = given().after(create(first))
    for body in others:
        story = story.after(patch(body))
    return story.state.settings


# -- the story


class Given(Struct, frozen=True):
    """What has happened so far."""

    events: tuple[Event, ...]

    @property
    def state(self) -> State:
        return fold(self.events)

    def when(self, command: Command) -> When:
        return When(self, command)

    def after(self, command: Command, by: Actor = ACTOR) -> Given:
        """The story with what the command recorded."""
        event = When(self, command, by).decided()
        return self if event is None else Given((*self.events, event))


class When(Struct, frozen=True):
    """A command, not yet decided."""

    story: Given
    command: Command
    by: Actor = ACTOR

    def decided(self) -> Event | None:
        said = msgspec.structs.replace(envelope(len(self.story.events) + 1), actor=self.by)
        return decide(self.command, self.story.state, said)

    def then(self, *facts: Fact) -> None:
        """Exactly these events are recorded; none means nothing is."""
        event = self.decided()
        recorded = [] if event is None else [_shown(event)]
        expected = [_shown(fact(len(self.story.events) + 1)) for fact in facts]
        assert pointers.same(recorded, expected), f"recorded: {recorded}\nexpected: {expected}"

    def refused(self, refusal: type[R]) -> R:
        with pytest.raises(refusal) as caught:
            self.decided()
        return caught.value

    def errors(self) -> list[tuple[tuple[str | int, ...], str]]:
        """The places and types of the rules that the command breaks."""
        return [(error.loc, error.type) for error in self.refused(InvalidSettings).errors]


def given(*facts: Fact) -> Given:
    return Given(tuple(fact(version) for version, fact in enumerate(facts, 1)))


def _shown(event: Event) -> Any:
    return msgspec.json.decode(codec.encode(event))


# -- what the publication says


def merged(target: Any, change: Any) -> Any:
    """MergePatch of RFC 7396, section 2, word for word but for the copies."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def at_path(tree: Any, path: str) -> Any:
    """What a tree holds at a pointer; UNSET where it holds nothing."""
    for name in pointers.split(path):
        tree = tree.get(name, UNSET) if isinstance(tree, dict) else UNSET
    return tree


def read_back(event: Event) -> Event:
    """An event after it was stored."""
    read = codec.decode(codec.encode(event), codec.tag_of(event))
    assert isinstance(read, Event)
    return read
