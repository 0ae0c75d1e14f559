"""The last line of defence: what the log drops even if somebody logs it."""

from __future__ import annotations

from app.log import REVEALED as NOW_REVEALED
from app.log import Revealed, drop_secrets


def test_a_member_whose_name_speaks_of_a_credential_is_dropped() -> None:
    line = {"event": "x", "api_key": "sk-1", "authToken": "t", "password": "p", "status": 200}
    assert drop_secrets(None, "", line) == {"event": "x", "status": 200}


def test_the_names_of_our_own_lines_stay() -> None:
    line = {"event": "request", "key_id": 3, "path": "/x", "request_id": "r"}
    assert drop_secrets(None, "", dict(line)) == line


def test_a_value_that_was_revealed_is_dropped_under_any_name() -> None:
    line = {"event": "x", "note": "sk-just-revealed", "other": "kept"}
    assert drop_secrets(None, "", dict(line)) == line  # before it was revealed, nobody knows it
    NOW_REVEALED.remember(["sk-just-revealed"])
    assert drop_secrets(None, "", line) == {"event": "x", "other": "kept"}


def test_only_digests_of_revealed_values_are_kept_and_only_so_many() -> None:
    revealed = Revealed()
    revealed.remember(f"value-{number}" for number in range(10_001))
    assert "value-10000" in revealed
    assert "value-0" not in revealed
    assert "value-5" not in repr(vars(revealed))


def test_what_has_the_form_of_a_credential_is_dropped_under_any_name() -> None:
    line = {
        "event": "x",
        "note": "Bearer 9f8e7d6c5b4a39281706",
        "token_budget": 9000,
        "key": "city",
    }
    assert drop_secrets(None, "", line) == {"event": "x", "token_budget": 9000, "key": "city"}
    assert drop_secrets(None, "", {"key": "9f8e7d6c5b4a39281706f5e4d3c2b1a0"}) == {}
