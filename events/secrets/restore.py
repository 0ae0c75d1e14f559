"""Secrets of older settings that are restored, undone or copied: the current ones are kept."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct

from events.pointers import MARK, Place, Tree, is_reference
from events.secrets.addresses import origin
from events.secrets.counterparts import counterparts
from events.secrets.references import URL, same_parts


def with_secrets_of(
    target: Any,
    current: Any,
    at: Place = (),
    *,
    restorable: frozenset[str] = frozenset(),
    adding: bool = True,
) -> Any:
    """``target`` with its secrets replaced by those of ``current``.

    A place that holds a secret in either gets what ``current`` has there: UNSET if that has
    nothing. Elements that only ``current`` has are gone, with their secrets. References of
    ``target`` whose ids are ``restorable`` stay. Without ``adding``, a place that holds no secret
    in ``target`` gets none. ``at`` is the place of both values in the settings.
    """
    return _Restore(restorable=restorable, adding=adding).value(target, current, at)


class _Restore(Struct, frozen=True, kw_only=True):
    """The options of ``with_secrets_of``."""

    restorable: frozenset[str]
    adding: bool

    def value(self, target: Any, current: Any, at: Place) -> Any:
        if is_reference(target) and target[MARK]["id"] in self.restorable:
            return target
        if is_reference(target) or (self.adding and is_reference(current)):
            return _current_secret(target, current)
        if isinstance(target, list):
            return self._elements(target, current if isinstance(current, list) else [], at)
        if self.adding and isinstance(current, dict) and target is None:
            return _only_secrets(current) or None
        if isinstance(target, dict):
            return self._members(target, current if isinstance(current, dict) else {}, at)
        return target

    def _elements(self, targets: list[Any], currents: list[Any], at: Place) -> list[Any]:
        continued = counterparts(targets, currents, at, by_position=False)
        elements = [
            self.value(target, old if _servers(target) == _servers(old) else None, at)
            for target, old in zip(targets, continued, strict=True)
        ]
        return [element for element in elements if element is not UNSET]

    def _members(self, target: Tree, current: Tree, at: Place) -> Tree:
        added = _only_secrets(current) if self.adding else {}
        names = [*target, *(name for name in added if name not in target)]
        members = {
            name: self.value(target.get(name), current.get(name), (*at, name)) for name in names
        }
        return {
            name: None if _is_null_since(member, target.get(name), current, name) else member
            for name, member in members.items()
            if member is not UNSET
        }


def _is_null_since(restored: Any, target: Any, current: Tree, name: str) -> bool:
    """Whether a map held nothing but secrets, none of which is restored, and is null since."""
    return restored == {} and bool(target) and current.get(name, UNSET) is None


def _servers(element: Any) -> list[str]:
    """The servers that an element names: its secrets are for no others."""
    if is_reference(element):
        return [origin(element[URL])] if URL in element else []
    if isinstance(element, dict):
        return sorted(server for member in element.values() for server in _servers(member))
    if isinstance(element, list):
        return [server for item in element for server in _servers(item)]
    return [origin(element)] if isinstance(element, str) and "://" in element else []


def _current_secret(target: Any, current: Any) -> Any:
    if is_reference(target) and URL in target:
        is_url = is_reference(current) and URL in current
        is_same_host = is_url and origin(current[URL]) == origin(target[URL])
        if not is_same_host or not same_parts(current, target):
            return target[URL]
        return target | {MARK: current[MARK]}
    if is_reference(current) and URL in current:
        return target  # a URL is a value of its own: without credentials it has no secret
    return current if is_reference(current) else UNSET


def _only_secrets(tree: Tree) -> Tree:
    secrets = {}
    for name, member in tree.items():
        if is_reference(member):
            if URL not in member:
                secrets[name] = member
        elif isinstance(member, dict) and (inner := _only_secrets(member)):
            secrets[name] = inner
    return secrets
