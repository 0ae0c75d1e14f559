"""Permissions narrow a role: whatever is sent, no key may more than its role and its scopes say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.permissions import NAMES, merge
from app.accounts.principals import REVEAL, Role
from events.errors import InvalidSettings

NEEDS = {"read": Role.viewer, "write": Role.editor, "admin": Role.admin}
roles = st.sampled_from(Role)
sent_permissions = st.dictionaries(st.sampled_from(NAMES), st.booleans())


def merged(
    role: Role, before: dict[str, Any], sent: dict[str, bool] | None
) -> dict[str, Any] | None:
    """The permissions after a change; None if it is refused."""
    try:
        return merge(role, before, sent)
    except InvalidSettings:
        return None


def refused(role: Role, before: dict[str, Any], sent: dict[str, bool]) -> list[str]:
    """The permissions that a refusal names."""
    with pytest.raises(InvalidSettings) as refusal:
        merge(role, before, sent)
    for error in refusal.value.errors:
        assert error.loc[:2] == ("body", "permissions")
        assert error.msg
        assert error.type == "value_error"  # as a validator's own, which clients know
    return [str(error.loc[2]) for error in refusal.value.errors]


@given(roles, st.booleans(), sent_permissions)
def test_no_change_gives_a_permission_beyond_the_role_or_a_scope(
    role: Role,
    may_reveal: bool,  # noqa: FBT001  # hypothesis gives it
    sent: dict[str, bool],
) -> None:
    before = {REVEAL: True} if may_reveal else {}
    after = merged(role, before, sent)
    if after is not None:
        assert all(role >= NEEDS[name] for name, value in after.items() if value and name in NEEDS)
        assert (after.get(REVEAL) is True) is may_reveal
        assert not (after.get("admin") and after.get("write") is False)
        assert after.get("read") is not False


@pytest.mark.parametrize("role", Role)
def test_a_permission_is_given_to_roles_that_include_it_alone(role: Role) -> None:
    for name, least in NEEDS.items():
        expected = {name: True} if role >= least else None
        assert merged(role, {}, {name: True}) == expected


def test_what_is_not_sent_stays_and_null_removes_all_but_scopes() -> None:
    before = {"write": False, REVEAL: True}
    assert merge(Role.editor, before, {"read": True}) == before | {"read": True}
    assert merge(Role.editor, before, {}) == before
    assert merge(Role.editor, before, None) == {REVEAL: True}
    assert merge(Role.editor, {"write": False}, None) == {}


def test_a_scope_stays_as_it_was_given() -> None:
    assert merge(Role.viewer, {REVEAL: True}, {REVEAL: True}) == {REVEAL: True}
    assert merge(Role.viewer, {}, {REVEAL: False}) == {}
    assert refused(Role.viewer, {}, {REVEAL: True}) == [REVEAL]
    assert refused(Role.viewer, {REVEAL: True}, {REVEAL: False}) == [REVEAL]


def test_permissions_that_contradict_each_other_are_refused_by_name() -> None:
    assert refused(Role.viewer, {}, {"read": False}) == ["read"]
    assert refused(Role.admin, {}, {"admin": True, "write": False}) == ["admin"]
    assert refused(Role.admin, {"write": False}, {"admin": True}) == ["admin"]
    assert refused(Role.viewer, {}, {"write": True, "unknown": True}) == ["write", "unknown"]


def test_a_long_unknown_name_is_not_repeated_whole() -> None:
    assert refused(Role.viewer, {}, {"x" * 1000: True}) == ["x" * 100]
