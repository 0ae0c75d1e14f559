from __future__ import annotations

import json
import sys
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given as for_all

from events import codec
from events.changed import LogEvent
from events.log_search import Stored
from projections.event_types import KINDS, event_type
from projections.exports.filter import ExportFilter
from projections.exports.formats import FORMATS, FormatName, find_format
from projections.exports.parquet import ParquetMissing
from tests.events.strategies import few
from tests.projections.exports.sample_log import (
    EXAMPLES,
    LOG,
    ORIGIN,
    csv_rows,
    cut_logs,
    export,
    lines,
    stored,
)


def test_every_type_of_event_has_an_example_and_an_entry() -> None:
    assert {type(event) for event in EXAMPLES} == KINDS.keys() == set(LogEvent.__args__)


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
def test_a_new_export_starts_afresh(name: str) -> None:
    assert export(name, LOG) == export(name, LOG)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_found_by_its_own_name(name: str) -> None:
    assert find_format(name) is FORMATS[name]
    assert FORMATS[name].name == name


def test_every_format_has_its_name_in_the_list_of_names() -> None:
    assert get_args(FormatName) == tuple(FORMATS)


def test_a_type_is_a_tag_without_its_version() -> None:
    assert event_type("assistant_settings_changed.v1") == "assistant_settings_changed"


def test_an_old_shape_is_exported_as_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    today = stored(EXAMPLES[1])
    members = msgspec.json.decode(today.body)
    members["was"] = members.pop("changes")
    old = today._replace(body=msgspec.json.encode(members | {"type": "assistant_changed.v0"}))

    def upcast(event: dict[str, Any]) -> dict[str, Any]:
        return event | {"type": today.type, "changes": event["was"]}

    monkeypatch.setitem(codec.UPCASTERS, old.type, upcast)
    exported = [row | {"event": event_type(today.type)} for row in csv_rows([old])]
    assert exported == csv_rows([today])
    assert ExportFilter(path="/description").matches(old)
    (record,) = lines("ocsf", [old])
    assert record["unmapped"] == lines("ocsf", [today])[0]["unmapped"]
    assert record["metadata"]["event_code"] == old.type
    for name in ("json", "cloudevents"):  # NDJSON and Parquet hold the stored bytes, to prove them
        assert export(name, [old]) == export(name, [today])


# -- names of events


@pytest.mark.parametrize("name", ["cloudevents", "ocsf"])
def test_exports_of_two_installations_never_give_two_events_one_name(name: str) -> None:
    def names(origin: str) -> list[Any]:
        exported = [json.loads(line) for line in export(name, LOG, origin=origin).splitlines()]
        if name == "ocsf":
            return [record["metadata"]["uid"] for record in exported]
        return [(batch[0]["source"], batch[0]["id"]) for batch in exported]

    here, there = names(ORIGIN), names("backstory/organizations/1/another")
    assert len({*here, *there}) == 2 * len(LOG)
    assert all(ORIGIN in str(name) for name in here)


@pytest.mark.parametrize("name", ["ndjson", "csv", "json", "parquet"])
def test_formats_that_name_no_event_do_not_depend_on_the_name_of_the_log(
    name: str,
) -> None:
    assert export(name, LOG) == export(name, LOG, origin="another")


# -- optional packages


def test_without_pyarrow_parquet_is_refused_before_an_export_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "projections.exports.parquet_file", raising=False)
    with pytest.raises(ParquetMissing, match=r"pip install 'backstory\[parquet\]'"):
        find_format("parquet")


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "parquet"])
def test_without_pyarrow_the_other_formats_are_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "projections.exports.parquet_file", raising=False)
    assert find_format(name) is FORMATS[name]
