from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from typing import Any

import msgspec
import pydantic
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.v1.http import from_json
from hypothesis import given as for_all
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import UNSET, structs
from ocsf.v1_7_0.events import EntityManagement

from events import codec, merkle, pointers
from events.changed import (
    Actor,
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRevoked,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    AuditExported,
    Cause,
    CheckpointRecorded,
    LogEvent,
    LoginRefused,
    PolicyChanged,
    SecretKeysRotated,
    SecretsErased,
    SecretsRevealed,
    VersionLabelled,
)
from events.log_search import Stored
from events.pointers import Change, Changes
from projections.exports import (
    COLUMNS,
    FORMATS,
    Wanted,
    closing_line,
    csv_format,
    event_type,
)
from projections.spreadsheets import Table, unquote
from tests.events.given import ACTOR, ASSISTANT, ORGANIZATION, at, secret
from tests.events.strategies import EVENTS, TEXTS, few, modest

KEY = "/llm_provider_config/api_key"
ORIGIN = "backstory/organizations/1/00112233445566778899aabbccddeeff"
FORMULA_STARTS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"

# -- one event of each type


def said(sequence: int, **members: Any) -> dict[str, Any]:
    return {
        "organization_id": ORGANIZATION,
        "sequence": sequence,
        "assistant_id": ASSISTANT,
        "occurred_at": at(sequence),
        "actor": ACTOR,
        "reason": None,
        "request_id": "01J9Z3K8Q4",
    } | members


SOMEONE = Actor(type="user", id=3, name="Émile", user_id=3)
NOBODY = Actor(type="system", id=0, name="Backstory", user_id=0)
EXAMPLES: list[LogEvent] = [
    AssistantCreated(
        version=1,
        cause=Cause(type="create"),
        changes={"/name": Change(after="Front desk"), KEY: Change(after=secret("1.a"))},
        **said(1),
    ),
    AssistantSettingsChanged(
        version=2,
        cause=Cause(type="rollback", to_version=1),
        changes={
            "/llm_settings/temperature": Change(before=0.5, after=0.3),
            "/llm_settings/top_p": Change(before=1, after="0.3"),
            "/description": Change(before=None, after=-1),
            "/custom_settings/a~1b": Change(before={"ä": [1, 1.0]}),
            KEY: Change(before=secret("1.a"), after=secret("2.b")),
        },
        **said(2, reason='Calmer, said "Émile"', idempotency_key="retry-1"),
    ),
    SecretsRevealed(paths=["/api_keys/a~1b", KEY], **said(3, actor=SOMEONE)),
    SecretsErased(version=3, cause=Cause(type="erase"), **said(4)),
    AssistantDeleted(version=4, cause=Cause(type="delete"), **said(5)),
    ApiKeyCreated(key_id=8, changes={"/name": Change(after="Night")}, **said(6, assistant_id=None)),
    ApiKeyChanged(
        key_id=8,
        changes={"/name": Change(before="Night", after="Day")},
        **said(7, assistant_id=None),
    ),
    ApiKeyRevoked(
        key_id=8,
        changes={"/is_active": Change(before=True, after=False)},
        **said(8, assistant_id=None),
    ),
    LoginRefused(
        key_id=None,
        key_prefix="bs_live_4",
        ip_address="2001:db8::7",
        unrecorded=41,
        **said(9, assistant_id=None, actor=NOBODY),
    ),
    SecretKeysRotated(data_keys=True, **said(10, assistant_id=None, actor=NOBODY)),
    AuditExported(
        format="csv",
        after=0,
        until_sequence=10,
        filter={"assistant_id": ASSISTANT},
        **said(11, assistant_id=None, actor=SOMEONE),
    ),
    CheckpointRecorded(
        checkpoint="backstory/1\n11\nAAAA\n\n— backstory/1 AAAA\n",
        **said(12, assistant_id=None, actor=NOBODY),
    ),
    AssistantRestored(version=5, cause=Cause(type="restore", undoes=4), **said(13)),
    VersionLabelled(labelled_version=2, label="Für später", **said(14)),
    PolicyChanged(
        changes={"/require_reason": Change(before=False, after=True)},
        **said(15, assistant_id=None, actor=SOMEONE),
    ),
]


def stored(event: LogEvent) -> Stored:
    """An event as the store gives it; most events keep more hashes than their leaf's."""
    body = codec.encode(event)
    hashes = merkle.leaf_hash(body) + b"\xff" * merkle.HASH_BYTES * (event.sequence % 3)
    return Stored(event.sequence, body, hashes)


LOG = [stored(event) for event in EXAMPLES]


def test_the_examples_are_of_every_type() -> None:
    assert {type(event) for event in EXAMPLES} == set(LogEvent.__args__)


# -- random ones

_SAID: dict[str, SearchStrategy[Any]] = {
    "organization_id": st.integers(1, 2**31 - 1),
    "sequence": st.just(0),
    "occurred_at": st.datetimes(
        datetime(2020, 1, 1),  # noqa: DTZ001 (the strategy adds the zone)
        datetime(2100, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    "actor": st.builds(
        Actor,
        type=st.sampled_from(["user", "api_key", "system"]),
        id=st.integers(0, 2**31 - 1),
        name=TEXTS,
        user_id=st.integers(0, 2**31 - 1),
    ),
    "reason": st.none() | TEXTS,
    "request_id": st.none() | TEXTS,
}
_KEY = {"assistant_id": st.none(), "key_id": st.integers(1, 2**31 - 1)}
_CHANGES = st.dictionaries(TEXTS.map(lambda name: pointers.join((name,))), st.builds(Change))
LOG_EVENTS: SearchStrategy[LogEvent] = st.one_of(
    EVENTS,
    st.builds(
        SecretsErased,
        assistant_id=st.integers(1, 9),
        version=st.integers(1, 9),
        cause=st.just(Cause(type="erase")),
        **_SAID,
    ),
    st.builds(SecretsRevealed, assistant_id=st.integers(1, 9), paths=st.lists(TEXTS), **_SAID),
    st.builds(
        VersionLabelled,
        assistant_id=st.integers(1, 9),
        labelled_version=st.integers(1, 9),
        label=st.none() | TEXTS,
        **_SAID,
    ),
    st.builds(PolicyChanged, assistant_id=st.none(), changes=_CHANGES, **_SAID),
    st.builds(ApiKeyCreated, changes=_CHANGES, **_SAID, **_KEY),
    st.builds(ApiKeyChanged, changes=_CHANGES, **_SAID, **_KEY),
    st.builds(ApiKeyRevoked, changes=_CHANGES, **_SAID, **_KEY),
    st.builds(
        LoginRefused,
        assistant_id=st.none(),
        key_id=st.none() | st.integers(1, 9),
        key_prefix=TEXTS,
        ip_address=st.none() | TEXTS | st.ip_addresses().map(str),
        unrecorded=st.integers(0, 9),
        **_SAID,
    ),
    st.builds(SecretKeysRotated, assistant_id=st.none(), data_keys=st.booleans(), **_SAID),
    st.builds(
        AuditExported,
        assistant_id=st.none(),
        format=st.sampled_from(sorted(FORMATS)),
        after=st.integers(0, 9),
        until_sequence=st.integers(0, 9),
        filter=st.dictionaries(TEXTS, TEXTS, max_size=2),
        **_SAID,
    ),
    st.builds(CheckpointRecorded, assistant_id=st.none(), checkpoint=TEXTS, **_SAID),
)


def _in_order(events: list[LogEvent]) -> list[Stored]:
    return [stored(_placed(event, number)) for number, event in enumerate(events, 1)]


def _placed(event: LogEvent, sequence: int) -> LogEvent:
    """The event at its place; ids as wide as the database's columns."""
    ids = {"organization_id": ORGANIZATION, "sequence": sequence}
    if event.assistant_id is not None:
        ids["assistant_id"] = min(event.assistant_id, 2**31 - 1)
    actor = structs.replace(
        event.actor,
        id=min(event.actor.id, 2**31 - 1),
        user_id=min(event.actor.user_id, 2**31 - 1),
    )
    return structs.replace(event, actor=actor, **ids)


LOGS = st.lists(LOG_EVENTS, max_size=6).map(_in_order)


@st.composite
def cut_logs(draw: st.DrawFn) -> tuple[list[Stored], list[list[Stored]]]:
    """A log, and the same in pages; some of them are empty."""
    log = draw(LOGS)
    cuts = sorted(draw(st.lists(st.integers(0, len(log)), max_size=4)))
    return log, [log[a:b] for a, b in itertools.pairwise([0, *cuts, len(log)])]


# -- reading exports


def export(name: str, *pages: Sequence[Stored], origin: str = ORIGIN) -> bytes:
    encoder = FORMATS[name].encoder(origin)
    last = max((event.sequence for page in pages for event in page), default=0)
    return b"".join([encoder.head(), *map(encoder.lines, pages), encoder.tail(last)])


def lines(name: str, log: Sequence[Stored]) -> list[Any]:
    return [json.loads(line) for line in export(name, log).splitlines()]


def rows(log: Sequence[Stored]) -> list[dict[str, str]]:
    """The rows of a CSV export, with the cells as they stand in the file."""
    text = export("csv", log).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


# -- every format


@pytest.mark.parametrize("name", FORMATS)
def test_every_type_of_event_can_be_exported(name: str) -> None:
    for event in LOG:
        assert export(name, [event]) not in (export(name), b"")


@pytest.mark.parametrize("name", FORMATS)
@few
@for_all(cut_logs())
def test_where_pages_are_cut_does_not_matter(
    name: str, cut: tuple[list[Stored], list[list[Stored]]]
) -> None:
    log, pages = cut
    assert export(name, *pages) == export(name, log)


@pytest.mark.parametrize("name", FORMATS)
def test_a_new_export_remembers_nothing_of_the_last(name: str) -> None:
    assert export(name, LOG) == export(name, LOG)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_found_by_its_own_name(name: str) -> None:
    assert FORMATS[name].name == name


def test_a_type_is_a_tag_without_its_version() -> None:
    assert event_type("assistant_settings_changed.v1") == "assistant_settings_changed"


def test_an_old_shape_is_exported_as_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    today = stored(EXAMPLES[1])
    members = msgspec.json.decode(today.body)
    members["was"] = members.pop("changes")
    old = today._replace(body=msgspec.json.encode(members | {"type": "assistant_changed.v0"}))

    def upcast(event: dict[str, Any]) -> dict[str, Any]:
        return event | {"type": today.type, "changes": event["was"]}

    monkeypatch.setitem(codec.UPCASTERS, old.type, upcast)
    exported = [row | {"event": event_type(today.type)} for row in rows([old])]
    assert exported == rows([today])
    assert Wanted(path="/description").takes(old)
    (record,) = lines("ocsf", [old])
    assert record["unmapped"] == lines("ocsf", [today])[0]["unmapped"]
    assert record["metadata"]["event_code"] == old.type
    for name in ("json", "cloudevents"):  # that need not prove the stored bytes
        assert export(name, [old]) == export(name, [today])


# -- whose events they are


@pytest.mark.parametrize("name", ["cloudevents", "ocsf"])
def test_the_logs_of_two_installations_never_name_two_events_alike(name: str) -> None:
    def names(origin: str) -> list[Any]:
        told = [json.loads(line) for line in export(name, LOG, origin=origin).splitlines()]
        if name == "ocsf":
            return [record["metadata"]["uid"] for record in told]
        return [(batch[0]["source"], batch[0]["id"]) for batch in told]

    here, there = names(ORIGIN), names("backstory/organizations/1/another")
    assert len({*here, *there}) == 2 * len(LOG)
    assert all(ORIGIN in str(one) for one in here)


@pytest.mark.parametrize("name", ["ndjson", "csv", "json"])
def test_what_names_no_event_to_others_is_the_same_whatever_the_log_is_called(name: str) -> None:
    assert export(name, LOG) == export(name, LOG, origin="another")


def test_a_policy_is_what_ocsf_calls_one_and_the_rest_has_no_number_there() -> None:
    kinds = {(one["entity"]["type"], one["entity"]["type_id"]) for one in lines("ocsf", LOG)}
    numbers = PUBLISHED_OBJECTS["managed_entity"]["attributes"]["type_id"]["enum"]
    published = {kind["caption"]: int(number) for number, kind in numbers.items()}
    assert kinds >= {("Policy", published["Policy"]), ("assistant", 99)}
    assert all(number == published.get(kind, 99) for kind, number in kinds)


# -- NDJSON


def test_a_line_holds_the_bytes_that_were_hashed() -> None:
    for line, event in zip(export("ndjson", LOG).splitlines(), LOG, strict=True):
        read = json.loads(line)
        before = b'{"leaf_index":%d,"leaf_hash":"%b","event":' % (
            event.sequence - 1,
            read["leaf_hash"].encode(),
        )
        assert line == before + event.body + b"}"
        body = line.removeprefix(before).removesuffix(b"}")
        assert read["leaf_hash"] == sha256(b"\0" + body).hexdigest()


def test_the_closing_line_says_how_far_the_export_goes() -> None:
    note = "backstory/1\n12\nAAAA\n\n— backstory/1 é\n"
    assert (
        closing_line(12, note, {})
        == (
            '{"last_sequence":12,"checkpoint":"backstory/1\\n12\\nAAAA\\n\\n— backstory/1 é\\n"}\n'
        ).encode()
    )


def test_the_closing_line_of_a_part_says_which() -> None:
    wanted = Wanted(assistant_id=4, actor="Émile").as_dict()
    assert (
        closing_line(12, "note", wanted)
        == (
            '{"last_sequence":12,"filter":{"assistant_id":4,"actor":"Émile"},"checkpoint":"note"}\n'
        ).encode()
    )


# -- CSV


def test_each_changed_field_is_a_row() -> None:
    row = dict.fromkeys(COLUMNS, "") | {
        "sequence": "2",
        "time": "2026-01-02T03:06:00Z",
        "assistant": "4",
        "version": "2",
        "actor": "Front office",
        "reason": 'Calmer, said "Émile"',
        "event": "assistant_settings_changed",
    }
    first, second = secret("1.a"), secret("2.b")
    assert rows([LOG[1]]) == [
        row | {"path": "/llm_settings/temperature", "before": "0.5", "after": "0.3"},
        row | {"path": "/llm_settings/top_p", "before": "1", "after": '"0.3"'},
        row | {"path": "/description", "before": "null", "after": "'-1"},
        row | {"path": "/custom_settings/a~1b", "before": '{"ä":[1,1.0]}', "after": ""},
        row
        | {
            "path": KEY,
            "before": json.dumps(first, separators=(",", ":")),
            "after": json.dumps(second, separators=(",", ":")),
        },
    ]


def test_an_event_without_changes_is_a_row() -> None:
    (row,) = rows([LOG[4]])
    assert (row["event"], row["path"], row["before"], row["after"]) == (
        "assistant_deleted",
        "",
        "",
        "",
    )


def test_each_revealed_path_is_a_row() -> None:
    assert [(row["path"], row["before"], row["after"]) for row in rows([LOG[2]])] == [
        ("/api_keys/a~1b", "", ""),
        (KEY, "", ""),
    ]


def test_the_file_has_a_header_and_ends_lines_as_rfc_4180_has_it() -> None:
    text = export("csv", LOG[:2])
    assert text.startswith(",".join(COLUMNS).encode() + b"\r\n")
    assert text.count(b"\n") == text.count(b"\r\n") == 8
    assert text.endswith(b"\r\n")


def test_an_export_that_continues_another_leaves_the_header_out() -> None:
    encoder = FORMATS["csv"].encoder(ORIGIN)
    assert export("csv", LOG[:2]) + encoder.lines(LOG[2:]) == export("csv", LOG)


def changes_in(of_one_event: list[dict[str, str]]) -> Changes:
    """What the rows of an event say that changed."""
    return {
        unquote(row["path"]): Change(
            before=json.loads(unquote(row["before"])) if row["before"] else UNSET,
            after=json.loads(unquote(row["after"])) if row["after"] else UNSET,
        )
        for row in of_one_event
        if row["path"]
    }


@modest
@for_all(LOGS)
def test_the_changes_can_be_read_back_from_the_rows(log: list[Stored]) -> None:
    grouped = itertools.groupby(rows(log), lambda row: row["sequence"])
    for event, (sequence, of_one_event) in zip(log, grouped, strict=True):
        told = list(of_one_event)
        recorded = codec.decode(event.body, event.type)
        assert sequence == str(recorded.sequence)
        assert datetime.fromisoformat(told[0]["time"]) == recorded.occurred_at
        assert unquote(told[0]["actor"]) == recorded.actor.name
        assert unquote(told[0]["reason"]) == (recorded.reason or "")
        changes = getattr(recorded, "changes", {})
        if not isinstance(recorded, SecretsRevealed):
            assert msgspec.json.encode(changes_in(told)) == msgspec.json.encode(changes)


FORMULAS = st.text(st.sampled_from([*FORMULA_STARTS, *"'a,;\" \u00a0\u200b\ufeff"])) | TEXTS


def told_by(name: str, reason: str, path: str, value: Any) -> Stored:
    event = structs.replace(
        EXAMPLES[1],
        actor=structs.replace(ACTOR, name=name),
        reason=reason,
        changes={path: Change(before=value, after=value)},
    )
    return stored(event)


@modest
@for_all(FORMULAS, FORMULAS, FORMULAS, FORMULAS | st.integers(-9, 9))
def test_no_cell_is_a_formula(name: str, reason: str, path: str, value: Any) -> None:
    (row,) = rows([told_by(name, reason, path, value)])
    assert not [cell for cell in row.values() if cell.startswith(tuple(FORMULA_STARTS))]
    assert unquote(row["path"]) == path
    assert json.loads(unquote(row["after"])) == value


def test_raw_cells_are_the_texts_themselves_and_so_may_be_formulas() -> None:
    one = told_by("=name", "+reason", "@path", -1)
    text = csv_format(Table(formulas="raw")).encoder("a log").lines([one]).decode()
    (cells,) = csv.reader([text])
    row = dict(zip(COLUMNS, cells, strict=True))
    found = {column for column, cell in row.items() if cell.startswith(tuple(FORMULA_STARTS))}
    assert found == {"actor", "reason", "path", "before", "after"}


# -- JSON


@few
@for_all(LOGS)
def test_the_document_is_the_events_and_how_far_they_go(log: list[Stored]) -> None:
    assert json.loads(export("json", log)) == {
        "events": [json.loads(event.body) for event in log],
        "last_sequence": len(log),
    }


def test_each_event_of_the_document_is_a_line() -> None:
    first, second = LOG[:2]
    assert export("json", [first], [], [second]) == (
        b'{"events":[\n' + first.body + b",\n" + second.body + b'\n],\n"last_sequence":2}\n'
    )


# -- CloudEvents


def cloudevents(log: Sequence[Stored]) -> Iterator[dict[str, Any]]:
    for batch in lines("cloudevents", log):
        (event,) = batch
        yield event


@few
@for_all(LOGS)
def test_both_generations_of_the_sdk_read_the_events(log: list[Stored]) -> None:
    for event, sent in zip(cloudevents(log), log, strict=True):
        body = json.loads(sent.body)
        today = JSONFormat().read(None, json.dumps(event))
        before = from_json(json.dumps(event))
        assert today.get_data() == before.get_data() == body
        assert today.get_id() == before["id"] == f"{ORGANIZATION}/{sent.sequence}"
        assert today.get_source() == before["source"] == ORIGIN
        assert today.get_type() == before["type"] == "backstory." + sent.type
        assert today.get_time() == datetime.fromisoformat(body["occurred_at"])
        assert before["time"] == body["occurred_at"]


def test_a_cloudevent_without_its_id_would_be_noticed() -> None:
    event = next(cloudevents(LOG))
    del event["id"], event["source"]
    with pytest.raises(Exception, match="source"):
        JSONFormat().read(None, json.dumps(event))


def test_a_cloudevent_says_what_it_is_about() -> None:
    subjects = [event.get("subject") for event in cloudevents(LOG)]
    assert subjects == ["assistants/4"] * 5 + ["api-keys/8"] * 3 + [None] * 4 + [
        "assistants/4",
        "assistants/4",
        None,
    ]


def test_a_cloudevent_holds_the_stored_bytes() -> None:
    for line, event in zip(export("cloudevents", LOG).splitlines(), LOG, strict=True):
        assert line.endswith(b'"data":' + event.body + b"}]")


@modest
@for_all(st.lists(st.integers(1, 2**63 - 1), min_size=2))
def test_the_sequences_of_cloudevents_sort_as_text(numbers: list[int]) -> None:
    log = [stored(structs.replace(EXAMPLES[0], sequence=number)) for number in sorted(numbers)]
    sequences = [event["sequence"] for event in cloudevents(log)]
    assert sequences == sorted(sequences)
    assert [int(sequence) for sequence in sequences] == sorted(numbers)


# -- OCSF

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
    told = [
        (record["activity_name"], record["entity"]["type"], record["message"])
        for record in lines("ocsf", LOG)
    ]
    assert told == [
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
    ]


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


# -- which events


def taken(**wanted: Any) -> list[int]:
    return [event.sequence for event in LOG if Wanted(**wanted).takes(event)]


def test_without_a_filter_every_event_is_taken() -> None:
    assert taken() == [event.sequence for event in LOG]
    assert Wanted().is_empty
    assert not Wanted(path="").is_empty


def test_events_are_taken_by_assistant() -> None:
    assert taken(assistant_id=ASSISTANT) == [1, 2, 3, 4, 5, 13, 14]
    assert taken(assistant_id=ASSISTANT + 1) == []


def test_events_are_taken_by_actor() -> None:
    assert taken(actor="user:3") == taken(actor="USER:3") == taken(actor="éMILE") == [3, 11, 15]
    assert taken(actor="system:0") == [9, 10, 12]
    assert taken(actor="3") == []


def test_events_are_taken_by_type() -> None:
    assert taken(event_type="secrets_revealed") == [3]
    assert taken(event_type="secrets") == []


def test_events_are_taken_by_path() -> None:
    assert taken(path=KEY) == taken(path="/llm_provider_config") == [1, 2, 3]
    assert taken(path="/llm_settings/temperature") == taken(path="/llm_settings/temperature/a")
    assert taken(path="/llm_settings/temp") == []
    assert taken(path="/api_keys/a~1b") == [3]
    assert taken(path="") == [1, 2, 3, 6, 7, 8, 15]


def test_an_event_must_be_wanted_in_every_respect() -> None:
    assert taken(assistant_id=ASSISTANT, actor="user:3", path=KEY) == [3]
    assert taken(event_type="secrets_revealed", actor="Front office") == []


def test_a_filter_is_told_by_what_is_set() -> None:
    assert Wanted().as_dict() == {}
    assert Wanted(actor="user:3", path="").as_dict() == {"actor": "user:3", "path": ""}
