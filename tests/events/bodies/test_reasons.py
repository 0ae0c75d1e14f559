"""A reason is a short text without a secret."""

from __future__ import annotations

from typing import Any

import pytest

from events.bodies.patch import read_patch
from events.bodies.reasons import clean_reason
from events.errors import InvalidSettings


def test_a_reason_is_no_setting() -> None:
    read = read_patch({"change_description": " calmer \n"}, strict=True)
    assert (read.tree, read.ignored, read.reason) == ({}, (), "calmer")


@pytest.mark.parametrize("sent", [None, "", "  "])
def test_a_blank_reason_is_none(sent: str | None) -> None:
    assert read_patch({"change_description": sent}).reason is None
    assert clean_reason(sent) is None


def test_a_reason_may_be_five_hundred_characters_long() -> None:
    assert read_patch({"change_description": "ä" * 500}).reason == "ä" * 500


@pytest.mark.parametrize("sent", ["ä" * 501, 5, [], {}])
def test_what_is_no_reason_is_refused(sent: Any) -> None:
    with pytest.raises(InvalidSettings):
        read_patch({"change_description": sent})


def test_a_reason_has_no_place_for_a_secret() -> None:
    sent = {"change_description": "https://user:pass@hook.example/"}
    assert read_patch(sent).reason == "https://********@hook.example/"
