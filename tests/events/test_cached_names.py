"""What is kept of names and paths is short, however long those are that clients choose."""

from __future__ import annotations

import pytest

from events import pointers, secret_paths
from events.policy import Policy
from events.secret_paths import under_policy
from events.secrets import addresses
from tests.tracing import traced


@pytest.mark.parametrize("is_guarded", [True, False])
def test_long_names_of_members_do_not_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    if not is_guarded:
        monkeypatch.setattr(addresses, "name_end", lambda name: name)
    with traced() as held:
        for number in range(30):
            addresses.meaning_of(f"{number}" + "x" * 100_000)
        assert (held() < 1_000_000) == is_guarded


@pytest.mark.parametrize("is_guarded", [True, False])
def test_long_paths_of_policies_do_not_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    if not is_guarded:
        monkeypatch.setattr(secret_paths, "_MAX_CACHED", 10**9)
    with traced() as held:
        for number in range(10):
            paths = [f"/{number}{rest}" + "/ab" * 300 for rest in range(100)]
            under_policy({"name": "Front desk"}, Policy(secret_paths=paths))
        del paths
        assert (held() < 1_000_000) == is_guarded


@pytest.mark.parametrize("is_guarded", [True, False])
def test_long_paths_of_changes_do_not_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    if not is_guarded:
        monkeypatch.setattr(pointers, "_MAX_CACHED", 10**9)
    with traced() as held:
        for number in range(100):
            pointers.ancestors(f"/{number}" + "/ab" * 100)
        assert (held() < 500_000) == is_guarded
