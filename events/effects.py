"""When a change of settings takes effect in a call that is running (``setting_types.Effect``)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from events import pointers
from events.setting_types import EFFECTS, Effect
from events.shape import SETTINGS, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from events.shape import Member

DEFAULT: Effect = EFFECTS[-1]  # of what has no mark, nor any object around it


def latest(paths: Iterable[str]) -> Effect | None:
    """When a change of these paths has taken effect wholly; None for no path."""
    effects = set(map(effect_of, paths))
    return next((effect for effect in reversed(EFFECTS) if effect in effects), None)


@lru_cache(1024)
def effect_of(path: str) -> Effect:
    """When a change of one path has taken effect wholly. A list or a map is one value."""
    effect, record = DEFAULT, SETTINGS
    for name in pointers.split(path):
        member = record.members.get(name)
        if member is None:  # of an open object, or of an older release
            return effect
        effect = effect_within(member, effect)
        if not isinstance(member.shape, Record):
            return effect
        record = member.shape
    return max(_all_within(record, effect), key=EFFECTS.index)


def effect_within(member: Member, around: Effect) -> Effect:
    """The effect of a member, in an object with another."""
    return next((effect for effect in EFFECTS if effect == member.effect), around)


def _all_within(record: Record, around: Effect) -> Iterator[Effect]:
    yield around
    for member in record.members.values():
        effect = effect_within(member, around)
        yield effect
        if isinstance(member.shape, Record):
            yield from _all_within(member.shape, effect)
