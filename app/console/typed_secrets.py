"""Secrets in forms: a page that asks again shows no secret that was typed. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.console.field import CLEAR, Field, typed_text, value_of
from events.bodies.patch import read_patch
from events.bodies.untouched import untouched
from events.errors import InvalidSettings, MalformedJSON
from events.merging import Replace
from events.pointers import overlaps, put
from events.secret_paths import under_policy
from events.secrets.credential_names import Verdict, verdict
from events.secrets.masks import is_mask
from events.secrets.values import Kept, Plain, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from events.policy import Policy

_MAY_HOLD_SECRETS = ("text", "long", "lines", "json")
_SEPARATORS = re.compile(r"[\s\"',]+")


def typed_secrets(
    fields: list[Field], form: Mapping[str, list[str]], policy: Policy
) -> list[Field]:
    """The fields in which a secret was typed."""
    return [
        field
        for field in fields
        if CLEAR + field.path not in form
        and (text := typed_text(field, form)) != field.text
        and (field.kind == "secret" or _holds_secret(field, text, policy))
    ]


def _holds_secret(field: Field, text: str, policy: Policy) -> bool:
    """Whether the API would seal a part of a text; a guess where the text cannot be read."""
    if field.kind not in _MAY_HOLD_SECRETS:
        return False
    try:
        value = value_of(field, text)
        body = put({}, field.path, value)
        patch = under_policy(read_patch(body).tree, policy)
        changes = untouched(patch, body, put({}, field.path, field.value))
        return _has_plain_secret(changes) or _replaces_mask(field.value, value)
    except (MalformedJSON, InvalidSettings):
        return _may_hold_secret(field, text, policy)


def _may_hold_secret(field: Field, text: str, policy: Policy) -> bool:
    """Whether a text that cannot be read may hold a secret that its page did not show."""
    if is_masked(field.value):  # the text may hold what replaces the mask
        return True
    shown = {line for line in field.text.split("\n") if line[-1:] not in ("{", "[")}
    lines = [line for line in text.split("\n") if line not in shown]
    words = [word for line in lines for word in _SEPARATORS.split(line)]
    if any(isinstance(read_text(word), Plain) for word in (*lines, *words)):
        return True
    if field.kind != "json":
        return False
    rules = (path.partition("/*")[0] for path in policy.secret_paths)
    return any(overlaps(rule, field.path) for rule in rules) or any(map(_may_name_secret, words))


def _may_name_secret(text: str) -> bool:
    return verdict(text) is not Verdict.NO


def _has_plain_secret(tree: Any) -> bool:
    if isinstance(tree, Replace):
        return _has_plain_secret(tree.value)
    if isinstance(tree, dict):
        return any(map(_has_plain_secret, tree.values()))
    if isinstance(tree, list):
        return any(map(_has_plain_secret, tree))
    return isinstance(tree, Plain)


def _replaces_mask(before: Any, after: Any) -> bool:
    """Whether a text replaces a mask: it is as secret as the value that was masked."""
    if isinstance(before, dict) and isinstance(after, dict):
        return any(_replaces_mask(before.get(name), value) for name, value in after.items())
    if isinstance(before, list) and isinstance(after, list):
        return any(map(_replaces_mask, before, after))
    return isinstance(before, str) and is_mask(before) and bool(after) and after != before


def is_masked(value: Any) -> bool:
    """Whether a value as the API shows it holds a mask: sent back, it is not what was masked."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    return isinstance(value, str) and isinstance(read_text(value), Kept)
