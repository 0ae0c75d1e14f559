"""Pairs of a name and a value, such as ``{"key": "Authorization", "value": ...}``."""

from __future__ import annotations

from typing import Any

from events.secrets.credential_names import Verdict, verdict

NAMING = ("name", "key", "header", "id", "variable", "field")  # members that name the ``value``
_MOST_MEMBERS = 8  # of a pair, for ``name_of_pair``


def named_value(pair: dict[str, Any]) -> tuple[str, str, str] | None:
    """Of a pair: the names of its two members, and the name that the first gives the second.

    Where several members could name the value, one with a credential's name counts. The naming
    member stays readable even if it is ``key``: else a pair that is sent back with masks would no
    longer say that its value is secret.
    """
    if len(pair) < 2:  # noqa: PLR2004  # a pair has two members
        return None
    members = {name.lower(): name for name in pair}
    if "value" not in members:
        return None
    candidates = [
        (members[naming], members["value"], pair[members[naming]])
        for naming in NAMING
        if naming in members and isinstance(pair[members[naming]], str)
    ]
    credentials = (names for names in candidates if verdict(names[2]) is not Verdict.NO)
    return next(credentials, candidates[0] if candidates else None)


def is_pair(value: Any) -> bool:
    """Whether a value is ``{"name": "host", "value": ...}`` or ``["host", ...]``."""
    if isinstance(value, dict):
        return name_of_pair(value) is not None
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)  # noqa: PLR2004


def name_of_pair(pair: dict[str, Any]) -> str | None:
    """The name that a pair gives its value; None for an object that is no pair."""
    if len(pair) > _MOST_MEMBERS:
        return None
    members = {name.lower(): member for name, member in pair.items()}
    candidates = (members.get(naming) for naming in NAMING)
    name = next((text for text in candidates if isinstance(text, str)), None)
    return name if "value" in members else None
