"""What people call the settings: the label of each, or its name in words. Pure."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct

from app.escaping import printable
from events.pointers import join
from events.shape import SETTINGS, Listing, Mapping, Record, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from events.shape import Member

_CAPITALS = {
    "llm": "LLM", "stt": "STT", "tts": "TTS", "rag": "RAG", "url": "URL", "api": "API",
    "sms": "SMS", "id": "ID", "vad": "VAD", "ms": "(ms)", "ai": "AI", "dtmf": "DTMF", "eot": "EOT",
    "sid": "SID", "mip": "MIP",
}  # fmt: skip
_NOT_CALLED = 4  # the rank of a setting that has none of the names


class SettingLabel(Struct, frozen=True, kw_only=True):
    """One setting: its path, the labels that lead there, and the sentence about it."""

    path: str
    labels: list[str]
    description: str


def words(member: str) -> str:
    """The name of a member in words: ``llm_settings`` is "LLM settings"."""
    text = " ".join(_CAPITALS.get(word, word) for word in printable(member).split("_"))
    return text[:1].upper() + text[1:]


def labels(tokens: tuple[str, ...]) -> Iterator[str]:
    """The label of each step of a path in the settings."""
    shape: Shape | None = SETTINGS
    for token in tokens:
        match shape:
            case Record(members=members) if token in members:
                shape = members[token].shape
                yield members[token].label or words(token)
            case Listing(item=inner) | Mapping(value=inner):
                shape = inner
                yield printable(token)
            case _:
                shape = None
                yield printable(token)


@cache
def all_settings() -> tuple[SettingLabel, ...]:
    """Every setting, in the order of their definitions."""
    return tuple(
        one for name, member in SETTINGS.members.items() for one in _settings(member, (name,))
    )


def _settings(member: Member, at: tuple[str, ...]) -> Iterator[SettingLabel]:
    """A setting; of a record, those of its members."""
    if isinstance(member.shape, Record):
        for name, inner in member.shape.members.items():
            yield from _settings(inner, (*at, name))
    else:
        yield SettingLabel(path=join(at), labels=list(labels(at)), description=member.description)


def called(text: str) -> list[SettingLabel]:
    """The settings that a text names, nearest first: by a label, by a path, by a description."""
    asked = text.casefold().split()
    ranked = [(_rank(one, asked), one) for one in all_settings()] if asked else []
    ranked.sort(key=lambda pair: pair[0])
    return [one for rank, one in ranked if rank < _NOT_CALLED]


def _rank(one: SettingLabel, asked: list[str]) -> int:
    """How near a setting is to the words of a search: 0 is its own label."""
    label = one.labels[-1].casefold()
    if label == " ".join(asked):
        return 0
    dotted = one.path.replace("/", ".")
    named = " ".join((*one.labels, one.path, dotted, dotted.replace("_", " "))).casefold()
    for rank, text in enumerate((label, named, one.description.casefold()), 1):
        if all(word in text for word in asked):
            return rank
    return _NOT_CALLED
