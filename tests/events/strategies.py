"""Random JSON, random bodies and random events for the laws.

Bodies are made from the published Structs, so that a new setting is drawn without a word here.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import hypothesis
import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import UNSET, inspect

from events import pointers
from events.changed import (
    Actor,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    Cause,
    Event,
)
from events.pointers import Tree
from events.settings import Settings

# Machines that run these are shared: how long an example takes proves nothing.
modest = hypothesis.settings(max_examples=30, deadline=None)
few = hypothesis.settings(max_examples=12, deadline=None)
many = hypothesis.settings(max_examples=4000, deadline=None)

# -- JSON

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAMES = st.sampled_from(["", "/", "~", "~1", "~0", "a/b", "a", "b", "0", "é", "𝄞"]) | TEXTS
SAFE_INTEGERS = st.integers(-(2**53), 2**53)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = (
    st.none() | st.booleans() | SAFE_INTEGERS | FLOATS | TEXTS | st.sampled_from([0, 1, 0.0, 1.0])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
TREES = st.dictionaries(NAMES, VALUES, max_size=5)


@st.composite
def pairs_of_trees(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Two trees, mostly kin: two unrelated ones share hardly a path."""
    one = draw(TREES)
    if draw(st.integers(0, 4)) == 0:
        return one, draw(TREES)
    return one, _edited(draw, copy.deepcopy(one))


def _edited(draw: st.DrawFn, tree: Tree) -> Tree:
    for name in list(tree):
        match draw(st.sampled_from(["keep", "keep", "descend", "drop", "replace", "retype"])):
            case "descend" if isinstance(tree[name], dict):
                tree[name] = _edited(draw, tree[name])
            case "drop":
                del tree[name]
            case "replace":
                tree[name] = draw(VALUES)
            case "retype" if isinstance(tree[name], int):
                tree[name] = draw(st.sampled_from([float(tree[name]), bool(tree[name])]))
    if draw(st.booleans()):
        tree[draw(NAMES)] = draw(VALUES)
    return tree


# -- bodies that hold no secret

# Of names that never speak of a credential, whatever the rule for that becomes.
PLAIN_NAMES = st.sampled_from(["colour", "size", "a/b", "~", "", "é", "0", "nested"])
FREE_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(PLAIN_NAMES, inner, max_size=2),
    max_leaves=5,
)
FREE_MAPS = st.dictionaries(PLAIN_NAMES, FREE_VALUES, max_size=3)
PHONE_NUMBERS = st.integers(1_000_000, 10**14).map("+{}".format)


def bodies(*, nulls: bool = True) -> SearchStrategy[Tree]:
    """Bodies that every rule allows and that hold no secret; some with nulls that clear."""
    fields = {
        field.name: _value(field.type, nulls=nulls)
        for field in inspect.type_info(Settings).fields  # type: ignore[attr-defined]
        if field.name not in ("api_keys", "webhook_headers", "bypass_numbers", "name")
    }
    fields["name"] = TEXTS.map(str.strip).filter(bool)
    fields["bypass_numbers"] = st.lists(PHONE_NUMBERS, max_size=3, unique=True)
    return _some_of(fields)


def _some_of(fields: dict[str, SearchStrategy[Any]]) -> SearchStrategy[Tree]:
    names = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({n: fields[n] for n in chosen}))


def _value(kind: inspect.Type, *, nulls: bool) -> SearchStrategy[Any]:
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            if (extra or {}).get("free_form"):
                return FREE_MAPS
            return _value(inner, nulls=nulls)
        case inspect.UnionType(types=types):
            (inner,) = (t for t in types if not isinstance(t, inspect.NoneType))
            return _value(inner, nulls=nulls) | st.none() if nulls else _value(inner, nulls=nulls)
        case inspect.StructType(fields=fields):
            typed = [field for field in fields if not _is_secret(field.type)]
            return _some_of({field.name: _value(field.type, nulls=nulls) for field in typed})
        case inspect.ListType(item_type=inspect.StructType(fields=fields)):
            return st.lists(_element(fields), max_size=2)
        case inspect.ListType(item_type=item):
            return st.lists(_value(item, nulls=False), max_size=2)
        case inspect.DictType():
            return st.dictionaries(PLAIN_NAMES, TEXTS, max_size=2)
        case _:
            return _scalar(kind)


def _scalar(kind: inspect.Type) -> SearchStrategy[Any]:
    match kind:
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=ge, le=le):
            lowest, highest = (-(2**53) if ge is None else ge), (2**53 if le is None else le)
            return st.integers(lowest, highest)
        case inspect.FloatType(ge=ge, le=le):
            return st.floats(ge, le, allow_nan=False, allow_infinity=False)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case _:
            return TEXTS.filter(lambda text: bool(text.strip()))


def _element(fields: tuple[inspect.Field, ...]) -> SearchStrategy[Tree]:
    typed = [field for field in fields if not _is_secret(field.type)]
    required = {f.name: _value(f.type, nulls=False) for f in typed if f.required}
    others = {f.name: _value(f.type, nulls=True) for f in typed if not f.required}
    if "config" in others:  # a null in it has a test of its own
        others["config"] = st.dictionaries(PLAIN_NAMES, st.booleans() | TEXTS, max_size=2)
    return st.fixed_dictionaries(required, optional=others)


def _is_secret(kind: inspect.Type) -> bool:
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            return bool((extra or {}).get("secret")) or _is_secret(inner)
        case inspect.UnionType(types=types):
            return any(map(_is_secret, types))
        case _:
            return False


# -- bodies that hold secrets

SECRETS = st.integers(0, 5).map("sk-very-secret-{}".format)
SENT_SECRETS = SECRETS | st.just("********") | st.just("")
_FALLBACK = st.fixed_dictionaries(
    {"provider": st.sampled_from(["openai", "groq", "xai"])},
    optional={
        "model": st.sampled_from(["small", "large"]),
        "api_key": SENT_SECRETS | st.none(),
        "config": st.fixed_dictionaries({}, optional={"api_key": SENT_SECRETS}),
    },
)
_TOOL = st.fixed_dictionaries(
    {"tool_id": st.integers(1, 3)},
    optional={"headers": st.fixed_dictionaries({"Authorization": SENT_SECRETS})},
)
_OPEN = st.fixed_dictionaries(
    {},
    optional={
        "api_key": SENT_SECRETS | st.none(),
        "auth": st.fixed_dictionaries({"accessToken": SENT_SECRETS, "user": TEXTS}),
        "servers": st.lists(st.fixed_dictionaries({"token": SENT_SECRETS}), max_size=2),
        "private_keys": st.lists(SENT_SECRETS, max_size=2),
    },
)


def secret_bodies() -> SearchStrategy[Tree]:
    """Bodies with secrets, masks and removals wherever a secret may stand."""
    named = st.dictionaries(st.sampled_from(["one", "two"]), SENT_SECRETS | st.none(), max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "llm_provider_config": st.none()
            | st.fixed_dictionaries(
                {}, optional={"api_key": SENT_SECRETS | st.none(), "custom_config": _OPEN}
            ),
            "tts_settings": st.none() | st.fixed_dictionaries({"provider_config": _OPEN}),
            "stt_settings": st.none() | st.fixed_dictionaries({"provider_config": _OPEN}),
            "webhook_headers": st.none() | named,
            "api_keys": st.none() | named,
            "custom_settings": st.none() | _OPEN,
            "recording_settings": st.none() | _OPEN,
            "llm_fallback_providers": st.none()
            | st.fixed_dictionaries({"fallbacks": st.lists(_FALLBACK, max_size=3)}),
            "tools_settings": st.none()
            | st.fixed_dictionaries({"custom_tools": st.lists(_TOOL, max_size=3)}),
        },
    )


def as_json(value: Any) -> bytes:
    """Bytes that tell 1, 1.0 and True apart and not in which order members came."""
    return msgspec.json.encode(value, order="deterministic")


# -- events

_MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (the strategy adds the zone)
_COUNTS = st.integers(1, 2**31)
_SIDES = st.just(UNSET) | VALUES | st.just({"$secret": {"id": "a", "fingerprint": "b"}})
_CHANGES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(lambda tokens: pointers.join(tuple(tokens))),
    st.builds(pointers.Change, before=_SIDES, after=_SIDES),
    max_size=4,
)
_CAUSES = st.builds(
    Cause,
    type=st.sampled_from(["create", "duplicate", "patch", "put", "status", "rollback", "delete"]),
    to_version=st.just(UNSET) | _COUNTS,
    paths=st.just(UNSET) | st.lists(NAMES.map("/{}".format), max_size=2),
    undoes=st.just(UNSET) | _COUNTS,
    base_version=st.just(UNSET) | _COUNTS,
    change_set_id=st.just(UNSET) | _COUNTS,
    assistant_id=st.just(UNSET) | _COUNTS,
)
_ACTORS = st.builds(
    Actor,
    type=st.sampled_from(["user", "api_key", "system"]),
    id=_COUNTS,
    name=TEXTS,
    user_id=_COUNTS,
)
_SAID: dict[str, SearchStrategy[Any]] = {
    "organization_id": _COUNTS,
    "sequence": _COUNTS,
    "assistant_id": _COUNTS,
    "version": _COUNTS,
    "occurred_at": _MOMENTS,
    "actor": _ACTORS,
    "reason": st.none() | TEXTS,
    "cause": _CAUSES,
    "request_id": st.none() | TEXTS,
    "idempotency_key": st.none() | TEXTS,
    "clock_time": st.just(UNSET) | _MOMENTS,
}
EVENTS: SearchStrategy[Event] = st.one_of(
    st.builds(AssistantCreated, changes=_CHANGES, **_SAID),
    st.builds(AssistantSettingsChanged, changes=_CHANGES, **_SAID),
    st.builds(AssistantDeleted, **_SAID),
    st.builds(AssistantRestored, **_SAID),
)
