from __future__ import annotations

from typing import Any

from projections.exports.filter import ExportFilter
from tests.events.given import ASSISTANT
from tests.projections.exports.sample_log import KEY, LOG


def kept(**members: Any) -> list[int]:
    return [event.sequence for event in LOG if ExportFilter(**members).matches(event)]


def test_without_a_filter_every_event_is_kept() -> None:
    assert kept() == [event.sequence for event in LOG]
    assert ExportFilter().is_empty
    assert not ExportFilter(path="").is_empty


def test_events_match_by_assistant() -> None:
    assert kept(assistant_id=ASSISTANT) == [1, 2, 3, 4, 5, 13, 14, 18, 19]
    assert kept(assistant_id=ASSISTANT + 1) == []


def test_events_match_by_actor() -> None:
    theirs = [3, 11, 15, 17, 20, 21, 23, 24]
    assert kept(actor="user:3") == kept(actor="USER:3") == kept(actor="éMILE") == theirs
    assert kept(actor="system:0") == [9, 10, 12, 22]
    assert kept(actor="3") == []


def test_events_match_by_type() -> None:
    assert kept(event_type="secrets_revealed") == [3]
    assert kept(event_type="secrets") == []


def test_events_match_by_path() -> None:
    assert kept(path=KEY) == kept(path="/llm_provider_config") == [1, 2, 3]
    assert kept(path="/llm_settings/temperature") == kept(path="/llm_settings/temperature/a")
    assert kept(path="/llm_settings/temp") == []
    assert kept(path="/api_keys/a~1b") == [3]
    assert kept(path="/phone_numbers/+14155551234/assistant_id") == [18, 19]
    assert kept(path="") == [1, 2, 3, 6, 7, 8, 15, 16, 17, 18, 19, 20, 22]


def test_an_event_must_match_every_member() -> None:
    assert kept(assistant_id=ASSISTANT, actor="user:3", path=KEY) == [3]
    assert kept(event_type="secrets_revealed", actor="Front office") == []


def test_a_filter_is_recorded_as_the_members_that_are_set() -> None:
    assert ExportFilter().as_dict() == {}
    assert ExportFilter(actor="user:3", path="").as_dict() == {"actor": "user:3", "path": ""}
