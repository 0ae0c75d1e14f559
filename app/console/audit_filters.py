"""The filters of the audit log: people and assistants by name or ID, and periods. Pure."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from msgspec import Struct

from app.assistants.setting_labels import words
from app.console.formatting import name
from app.console.texts import Audit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMES = (
    "event_type", "user_id", "assistant", "resource_type", "resource_id", "start_date", "end_date",
)  # fmt: skip
_ID = re.compile(r"[0-9]+", re.ASCII)
_NUMBERED = re.compile(r".*\(([0-9]+)\)", re.ASCII | re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAYS = {"today": 0, "week": 6, "month": 29}  # before today


class Chip(Struct, frozen=True, kw_only=True):
    """A filter that is set, in words, and the address without it."""

    words: str
    address: str


class NoSuchName(Exception):
    """No person or assistant has this name, or several have it."""


def read(given: Mapping[str, str]) -> dict[str, str]:
    """The filters that are set; an assistant's ID by its type is the filter by assistant."""
    query = {key: given[key].strip() for key in NAMES if given.get(key, "").strip()}
    if query.get("resource_type") == "assistant" and "resource_id" in query:
        query.setdefault("assistant", query.pop("resource_id"))
        del query["resource_type"]
    return query


def user_id_of(text: str, users: Sequence[Mapping[str, Any]]) -> str:
    """The ID of a person, from their ID, name or e-mail address; raises ``NoSuchName``."""
    if _ID.fullmatch(text):
        return text
    for user in users:
        if text.casefold() in (user["name"].casefold(), (user["email"] or "").casefold()):
            return str(user["id"])
    raise NoSuchName(Audit.no_person.format(name=name(text)))


def assistant_id_of(text: str, assistants: Sequence[Mapping[str, Any]]) -> str:
    """The ID of an assistant, from its ID, its name, or both; raises ``NoSuchName``."""
    if _ID.fullmatch(text):
        return text
    found = {str(one["id"]) for one in assistants if one["name"].casefold() == text.casefold()}
    if len(found) == 1:
        return found.pop()
    if numbered := _NUMBERED.fullmatch(text):
        return numbered[1]
    if found:
        ids = ", ".join(sorted(found, key=int))
        raise NoSuchName(Audit.several_assistants.format(name=name(text), ids=ids))
    raise NoSuchName(Audit.no_assistant.format(name=name(text)))


def options(assistants: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a list of assistants offers: their names, with the ID where several have one name."""
    count = Counter(one["name"].casefold() for one in assistants)
    return [
        one["name"] if count[one["name"].casefold()] == 1 else f"{one['name']} ({one['id']})"
        for one in assistants
    ]


def as_log_query(query: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, str]:
    """The filters as the API's log takes them; ``ids`` are those of the person and assistant."""
    sent = {key: value for key, value in query.items() if key not in ("user_id", "assistant")}
    if "user_id" in ids:
        sent["user_id"] = ids["user_id"]
    if "assistant" in ids:
        sent |= {"resource_type": "assistant", "resource_id": ids["assistant"]}
    return sent


def as_export_query(
    query: Mapping[str, str], ids: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The filters as an export takes them, and the names of those that it lacks."""
    sent: dict[str, str] = {}
    lacking: list[str] = []
    for key, value in query.items():
        match key:
            case "event_type":
                sent[key] = value
            case "assistant":
                sent["assistant_id"] = ids.get(key, "")
            case "start_date":
                sent["since"] = _at_time(value, "00:00:00")
            case "end_date":
                sent["until"] = _at_time(value, "23:59:59.999999")
            case _:
                lacking.append(key)
    return sent, lacking


def _at_time(text: str, time: str) -> str:
    """A date at a time of day (UTC); a date with a time stays as it is."""
    return f"{text}T{time}Z" if _DATE.fullmatch(text) else text


def chips(query: Mapping[str, str], address: str) -> list[Chip]:
    """The filters that are set, each with the address that leaves it out."""
    return [
        Chip(
            words=f"{Audit.filter_names[key]}: {_shown(key, value)}",
            address=f"{address}?{urlencode({k: v for k, v in query.items() if k != key})}",
        )
        for key, value in query.items()
    ]


def _shown(key: str, value: str) -> str:
    if key == "event_type":
        return Audit.kinds.get(value) or words(value)
    return Audit.resources.get(value) or words(value) if key == "resource_type" else name(value)


def periods(query: Mapping[str, str], address: str, today: date) -> list[Chip]:
    """The periods up to today, each with its address; UTC."""
    others = {key: value for key, value in query.items() if key not in ("start_date", "end_date")}
    found = []
    for key, days in _DAYS.items():
        start = {"start_date": str(today - timedelta(days=days))}
        found.append(
            Chip(words=Audit.periods[key], address=f"{address}?{urlencode(others | start)}")
        )
    return found
