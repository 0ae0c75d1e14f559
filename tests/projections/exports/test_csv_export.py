from __future__ import annotations

import csv
import itertools
import json
from datetime import datetime
from typing import Any

import msgspec
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, structs

from events import codec
from events.changed import SecretsRevealed
from events.log_search import Stored
from events.pointers import Change, Changes
from projections.exports.csv import COLUMNS, csv_format
from projections.exports.format import Coverage
from projections.exports.formats import FORMATS
from projections.spreadsheets import Table, unquote
from tests.events.given import ACTOR, secret
from tests.events.strategies import TEXTS, modest
from tests.projections.exports.sample_log import (
    EXAMPLES,
    KEY,
    LOG,
    LOGS,
    ORIGIN,
    csv_rows,
    export,
    stored,
)

FORMULA_STARTS = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"


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
    assert csv_rows([LOG[1]]) == [
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
    (row,) = csv_rows([LOG[4]])
    assert (row["event"], row["path"], row["before"], row["after"]) == (
        "assistant_deleted",
        "",
        "",
        "",
    )


def test_each_revealed_path_is_a_row() -> None:
    assert [(row["path"], row["before"], row["after"]) for row in csv_rows([LOG[2]])] == [
        ("/api_keys/a~1b", "", ""),
        (KEY, "", ""),
    ]


def test_the_file_has_a_header_and_ends_lines_as_rfc_4180_has_it() -> None:
    text = export("csv", LOG[:2])
    assert text.startswith(",".join(COLUMNS).encode() + b"\r\n")
    assert text.count(b"\n") == text.count(b"\r\n") == 8
    assert text.endswith(b"\r\n")


def test_an_export_that_continues_another_leaves_the_header_out() -> None:
    encoder = FORMATS["csv"].encoder(Coverage(origin=ORIGIN, continues=True))
    rest = encoder.head() + encoder.encode(LOG[2:]) + encoder.tail()
    assert export("csv", LOG[:2]) + rest == export("csv", LOG)


def changes_in(event_rows: list[dict[str, str]]) -> Changes:
    """The changes that the rows of an event hold."""
    return {
        unquote(row["path"]): Change(
            before=json.loads(unquote(row["before"])) if row["before"] else UNSET,
            after=json.loads(unquote(row["after"])) if row["after"] else UNSET,
        )
        for row in event_rows
        if row["path"]
    }


@modest
@for_all(LOGS)
def test_the_changes_can_be_read_back_from_the_rows(log: list[Stored]) -> None:
    grouped = itertools.groupby(csv_rows(log), lambda row: row["sequence"])
    for event, (sequence, grouped_rows) in zip(log, grouped, strict=True):
        event_rows = list(grouped_rows)
        recorded = codec.decode(event.body, event.type)
        assert sequence == str(recorded.sequence)
        assert datetime.fromisoformat(event_rows[0]["time"]) == recorded.occurred_at
        assert unquote(event_rows[0]["actor"]) == recorded.actor.name
        assert unquote(event_rows[0]["reason"]) == (recorded.reason or "")
        changes = getattr(recorded, "changes", {})
        if not isinstance(recorded, SecretsRevealed):
            assert msgspec.json.encode(changes_in(event_rows)) == msgspec.json.encode(changes)


FORMULAS = st.text(st.sampled_from([*FORMULA_STARTS, *"'a,;\" \u00a0\u200b\ufeff"])) | TEXTS


def event_with(name: str, reason: str, path: str, value: Any) -> Stored:
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
    (row,) = csv_rows([event_with(name, reason, path, value)])
    assert not [cell for cell in row.values() if cell.startswith(tuple(FORMULA_STARTS))]
    assert unquote(row["path"]) == path
    assert json.loads(unquote(row["after"])) == value


def test_raw_cells_are_the_texts_themselves_and_so_may_be_formulas() -> None:
    event = event_with("=name", "+reason", "@path", -1)
    encoder = csv_format(Table(formulas="raw")).encoder(Coverage(origin=ORIGIN))
    text = encoder.encode([event]).decode()
    (cells,) = csv.reader([text])
    row = dict(zip(COLUMNS, cells, strict=True))
    formulas = {column for column, cell in row.items() if cell.startswith(tuple(FORMULA_STARTS))}
    assert formulas == {"actor", "reason", "path", "before", "after"}
