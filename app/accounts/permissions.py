"""Permissions of an API key: they narrow its role, and must agree with it and each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.accounts.principals import SCOPES, Role
from events.errors import FieldError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NEEDS = {"read": Role.viewer, "write": Role.editor, "admin": Role.admin}
NAMES = [*_NEEDS, *SCOPES]
_LONGEST = 100


def merge(role: Role, before: Mapping[str, Any], sent: Mapping[str, bool] | None) -> dict[str, Any]:
    """The permissions of a key after a change; raises ``InvalidSettings``.

    Permissions that are not sent stay, so that no change widens what it does not name. None removes
    all. Scopes stay as they were given when the key was created.
    """
    given = {scope: True for scope in SCOPES if before.get(scope)}
    if sent is None:
        return given
    after = dict(before) | dict(sent)
    errors = tuple(_errors(role, given, sent, after))
    if errors:
        raise InvalidSettings(errors)
    return {name: value for name, value in after.items() if name not in SCOPES} | given


def _errors(
    role: Role, given: Mapping[str, bool], sent: Mapping[str, bool], after: Mapping[str, Any]
) -> Iterator[FieldError]:
    for name, value in sent.items():
        if name in SCOPES:
            if value is not given.get(name, False):
                yield _error(name, "A scope is given with 'scopes' when a key is made, or never")
        elif name not in _NEEDS:
            yield _error(name, "Unknown permission; there are 'read', 'write' and 'admin'")
        elif value and role < _NEEDS[name]:
            yield _error(name, f"The key's role is {role.name}, and permissions only narrow it")
    if sent.get("read") is False:
        yield _error("read", "Every key may read; revoke the key instead")
    if after.get("admin") is True and after.get("write") is False:
        yield _error("admin", "A key that may not write cannot be an admin's")


def _error(name: str, message: str) -> FieldError:
    loc = ("body", "permissions", name[:_LONGEST])
    return FieldError(loc=loc, msg=message, type="value_error")
