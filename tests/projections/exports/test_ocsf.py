from __future__ import annotations

import json
from datetime import datetime
from importlib import resources
from typing import Any

import pydantic
import pytest
from hypothesis import given as for_all
from msgspec import structs
from ocsf.v1_7_0.events import EntityManagement

from events.log_search import Stored
from tests.events.strategies import modest
from tests.projections.exports.sample_log import EXAMPLES, LOG, LOGS, ORIGIN, lines, stored

_SCHEMA = json.loads((resources.files("ocsf") / "schemas" / "v1_7_0.json").read_bytes())
PUBLISHED, PUBLISHED_OBJECTS = _SCHEMA["events"], _SCHEMA["objects"]
REQUIRED = {
    name
    for class_name in ("base_event", "iam", "entity_management")
    for name, attribute in PUBLISHED[class_name]["attributes"].items()
    if name != "$include" and attribute.get("requirement") == "required"
}


def unpublished(model: pydantic.BaseModel) -> list[str]:
    """The members that no published class has, of any depth; what is unmapped may hold any."""
    found = list(model.model_extra or {})
    for name in model.model_fields_set - {"unmapped"}:
        value = getattr(model, name, None)
        if isinstance(value, pydantic.BaseModel):
            found += unpublished(value)
    return found


def check(record: dict[str, Any]) -> None:
    """A record that the published schema does not take fails here."""
    assert record.keys() >= REQUIRED
    assert unpublished(EntityManagement.model_validate(json.loads(json.dumps(record)))) == []


@modest
@for_all(LOGS)
def test_the_published_schema_takes_every_record(log: list[Stored]) -> None:
    for record, event in zip(lines("ocsf", log), log, strict=True):
        check(record)
        assert record["metadata"]["uid"] == f"{ORIGIN}/{event.sequence}"
        body = json.loads(event.body)
        recorded = datetime.fromisoformat(body["occurred_at"])
        assert record["time"] == recorded.replace(microsecond=0).timestamp() * 1000 + (
            recorded.microsecond // 1000
        )
        assert record["metadata"]["original_time"] == body["occurred_at"]


def test_the_published_schema_takes_a_record_of_every_type() -> None:
    for record in lines("ocsf", LOG):
        check(record)


@pytest.mark.parametrize("name", sorted(REQUIRED | {"entity"}))
def test_a_record_without_a_required_member_would_be_noticed(name: str) -> None:
    (record,) = lines("ocsf", LOG[:1])
    del record[name]
    with pytest.raises((AssertionError, pydantic.ValidationError)):
        check(record)


@pytest.mark.parametrize("name", ["entity", "metadata", "time"])
def test_the_model_alone_notices_a_missing_member(name: str) -> None:
    (record,) = lines("ocsf", LOG[:1])
    del record[name]
    with pytest.raises(pydantic.ValidationError):
        EntityManagement.model_validate(record)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type_uid": 300499},
        {"activity_name": "Delete"},
        {"severity": "Fatal"},
        {"class_uid": 3001},
        {"mood": "sad"},
        {"entity": {"uid": "4", "mood": "sad"}},
    ],
)
def test_a_record_with_a_wrong_member_would_be_noticed(wrong: dict[str, Any]) -> None:
    (record,) = lines("ocsf", LOG[:1])
    with pytest.raises((AssertionError, pydantic.ValidationError)):
        check(record | wrong)


def test_a_record_says_what_was_done_to_what() -> None:
    described = [
        (record["activity_name"], record["entity"]["type"], record["message"])
        for record in lines("ocsf", LOG)
    ]
    assert described == [
        ("Create", "assistant", "Front office created assistant 4"),
        ("Update", "assistant", "Front office changed assistant 4"),
        ("Read", "secrets", "Émile revealed secrets of assistant 4"),
        ("Delete", "secrets", "Front office erased the secrets of assistant 4"),
        ("Delete", "assistant", "Front office deleted assistant 4"),
        ("Create", "api_key", "Front office created API key 8"),
        ("Update", "api_key", "Front office changed API key 8"),
        ("Disable", "api_key", "Front office revoked API key 8"),
        ("Refuse", "api_key", "Backstory was refused with API key bs_live_4"),
        ("Update", "secret_keys", "Backstory rotated the secret keys of organization 1"),
        ("Read", "audit_log", "Émile exported the audit log of organization 1"),
        ("Sign", "audit_log", "Backstory signed the audit log of organization 1"),
        ("Restore", "assistant", "Front office restored assistant 4"),
        ("Update", "assistant", "Front office labelled a version of assistant 4"),
        ("Update", "Policy", "Émile changed the policy of organization 1"),
        ("Create", "phone_number", "Front office added phone number +14155551234"),
        ("Update", "phone_number", "Émile renamed phone number +14155551234"),
        ("Update", "phone_number", "Front office assigned phone number +14155551234"),
        ("Update", "phone_number", "Front office unassigned phone number +14155551234"),
        ("Create", "webhook", "Émile created webhook 4"),
        ("Update", "webhook", "Émile changed webhook 4"),
        ("Disable", "webhook", "Backstory switched off webhook 4"),
        ("Deliver", "webhook", "Émile asked for a delivery to webhook 4"),
        ("Delete", "webhook", "Émile deleted webhook 4"),
    ]


def test_a_policy_has_the_number_of_ocsf_and_other_entities_have_none() -> None:
    entities = [record["entity"] for record in lines("ocsf", LOG)]
    kinds = {(entity["type"], entity["type_id"]) for entity in entities}
    numbers = PUBLISHED_OBJECTS["managed_entity"]["attributes"]["type_id"]["enum"]
    published = {kind["caption"]: int(number) for number, kind in numbers.items()}
    assert kinds >= {("Policy", published["Policy"]), ("assistant", 99)}
    assert all(number == published.get(kind, 99) for kind, number in kinds)


def test_a_record_says_by_whom_and_why() -> None:
    (record,) = lines("ocsf", [LOG[1]])
    assert record["actor"]["user"] == {
        "uid": "api_key:7",
        "uid_alt": "user:3",
        "name": "Front office",
        "type_id": 4,
        "type": "Service",
    }
    assert record["comment"] == 'Calmer, said "Émile"'
    assert record["entity"] == {"type_id": 99, "type": "assistant", "uid": "4", "version": "2"}
    assert record["unmapped"]["changes"] == json.loads(LOG[1].body)["changes"]
    assert record["unmapped"]["cause"] == {"type": "rollback", "to_version": 1}


def test_a_refused_login_is_a_failure() -> None:
    failed = [record for record in lines("ocsf", LOG) if record["status"] != "Success"]
    assert [record["metadata"]["event_code"] for record in failed] == ["login_refused.v1"]
    assert failed[0]["src_endpoint"] == {"ip": "2001:db8::7"}
    assert failed[0]["unmapped"] == {"key_prefix": "bs_live_4", "unrecorded": 41}


def test_a_revoked_key_that_came_is_named_by_its_id() -> None:
    event = structs.replace(EXAMPLES[8], key_id=8, ip_address="unix:")
    (record,) = lines("ocsf", [stored(event)])
    assert record["entity"] == {"type_id": 99, "type": "api_key", "uid": "8"}
    assert record["src_endpoint"] == {"name": "unix:"}
    check(record)
