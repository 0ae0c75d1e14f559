"""JSON Patches for tests, and what they make of an assistant's settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from events import pointers
from events.bodies.json_patch import read_json_patch
from events.bodies.patch import read_patch
from events.commands import ChangeSettings
from events.errors import InvalidSettings
from events.merging import seal
from events.pointers import MARK, Path, Tree
from events.secrets.references import SecretPlacement, mask, places
from events.secrets.values import Plain, url_members
from tests.events.given import PATCH, Given, create, given, secret

Loc = tuple[str | int, ...]
MIB = 1024 * 1024
FALLBACKS = "/llm_fallback_providers/fallbacks"
NOT_REMOVABLE = ["name", "llm_provider", "is_active", "conversation_continuity_enabled"]
NO_PLACE = "no_such_path"
NEW = 10_000  # the ids of secrets that a patch brings


def story(*sent: Tree) -> Given:
    """A creation and then patches; each secret has an id of its own."""
    ids = itertools.count()
    assistant = given().after(create({}))
    for body in sent:
        with suppress(InvalidSettings):
            tree = sealed(read_patch(body).tree, ids)
            assistant = assistant.after(ChangeSettings(patch=tree, cause=PATCH))
    return assistant


def command(assistant: Given, *operations: Any, strict: bool = False) -> ChangeSettings:
    read = read_json_patch(list(operations), assistant.state.settings, strict=strict)
    return ChangeSettings(patch=sealed(read.tree, itertools.count(NEW)), cause=PATCH)


def sealed(tree: Tree, ids: Iterator[int]) -> Tree:
    """The tree with references as the vault makes them, those in a URL too."""

    def reference_to(plain: Plain, _: Path) -> Tree:
        return secret(f"id-{next(ids)}") | url_members(plain)

    tree_with_references: Tree = seal(tree, reference_to)
    return tree_with_references


def after(assistant: Given, *operations: Any) -> Tree:
    """The settings that the operations leave."""
    return assistant.after(command(assistant, *operations)).state.settings


def errors(assistant: Given, *operations: Any, strict: bool = False) -> list[tuple[Loc, str]]:
    with pytest.raises(InvalidSettings) as refusal:
        command(assistant, *operations, strict=strict)
    return [(error.loc, error.type) for error in refusal.value.errors]


def op(kind: str, path: str, value: Any = None, **members: Any) -> Tree:
    needs_value = {"value": value} if kind in ("add", "replace", "test") else {}
    return {"op": kind, "path": path} | needs_value | members


def move(source: str, path: str, kind: str = "move") -> Tree:
    return {"op": kind, "from": source, "path": path}


def with_fallbacks(*fallbacks: Tree) -> Given:
    return story({"llm_fallback_providers": {"fallbacks": list(fallbacks)}})


def fallback(provider: str, **members: Any) -> Tree:
    return {"provider": provider, "api_key": f"sk-{provider}"} | members


def fallbacks_of(settings: Tree) -> list[Tree]:
    found: list[Tree] = settings["llm_fallback_providers"]["fallbacks"]
    return found


MASKS = {
    "llm_provider_config": {"api_key": "sk-0", "custom_config": {"token": "t"}},
    "webhook_headers": {"A": "one", "B": "two"},
    "webhook_url": "https://user:password@example.com/a",
    "custom_settings": {"keys": ["k", "l"], "auth": {"token": "u"}},
    "llm_fallback_providers": {"fallbacks": [fallback("groq"), fallback("xai", api_key=None)]},
}


def elsewhere(assistant: Given, result: Tree) -> set[int]:
    """The secrets that stand where they did not stand before; a list is one place."""
    stood = {(place.bound, id_of(place)) for place in places(assistant.state.settings)}
    stands = {(place.bound, id_of(place)) for place in places(result)}
    return {secret_id for _, secret_id in stands - stood if secret_id < NEW}


def id_of(place: SecretPlacement) -> int:
    return int(place.reference[MARK]["id"].removeprefix("id-"))


def pointers_into(value: Any, at: tuple[str, ...] = ()) -> list[str]:
    members: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else []
    members = enumerate(value) if isinstance(value, list) else members
    inside = [path for name, member in members for path in pointers_into(member, (*at, str(name)))]
    return [pointers.join(at), *inside]


STOCKED = story(MASKS | {"stt_settings": {"keyterms": ["a", "b"]}})
PLACES = pointers_into(mask(STOCKED.state.settings))
