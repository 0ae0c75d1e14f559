from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given as for_all
from msgspec import structs
from pyarrow import parquet as pq

from events import codec, merkle
from events.changed import SecretsRevealed
from events.log_search import Stored
from projections.exports import parquet_file
from projections.exports.format import Coverage, Encoder
from projections.exports.parquet import PARQUET
from tests.events.strategies import few
from tests.projections.exports.sample_log import EXAMPLES, LOG, LOGS, cut_logs, stored

SMALL_ROWS, SMALL_BYTES = 2, 900


def encoder_to(last_sequence: int) -> Encoder:
    return PARQUET.encoder(Coverage(origin="a log", last_sequence=last_sequence))


def chunks(*pages: Sequence[Stored]) -> Iterator[bytes]:
    encoder = encoder_to(max((event.sequence for page in pages for event in page), default=0))
    yield encoder.head()
    for page in pages:
        yield encoder.encode(page)
    yield encoder.tail()


def export(*pages: Sequence[Stored]) -> bytes:
    return b"".join(chunks(*pages))


def opened(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(data))


def rows(data: bytes) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = opened(data).read().to_pylist()
    return read


def many(count: int) -> list[Stored]:
    return [stored(structs.replace(EXAMPLES[1], sequence=n)) for n in range(1, count + 1)]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROWS", SMALL_ROWS)


# -- rows


@few
@for_all(LOGS)
def test_every_event_is_a_row_with_the_bytes_that_were_hashed(log: list[Stored]) -> None:
    for row, event in zip(rows(export(log)), log, strict=True):
        recorded = codec.decode(event.body, event.type)
        assert row["body"].encode() == event.body
        assert row["leaf_hash"] == merkle.leaf_hash(row["body"].encode())
        assert row["occurred_at"] == recorded.occurred_at
        members = {name: row[name] for name in ("sequence", "type", "assistant_id", "version")}
        assert members == {
            "sequence": event.sequence,
            "type": event.type,
            "assistant_id": recorded.assistant_id,
            "version": getattr(recorded, "version", None),
        }
        actor = recorded.actor
        assert (row["actor_type"], row["actor_id"]) == (actor.type, actor.id)
        assert (row["actor_name"], row["user_id"]) == (actor.name, actor.user_id)
        assert (row["reason"], row["request_id"]) == (recorded.reason, recorded.request_id)
        touched = (
            recorded.paths
            if isinstance(recorded, SecretsRevealed)
            else list(getattr(recorded, "changes", {}))
        )
        assert row["paths"] == touched


def test_every_type_of_event_is_a_row() -> None:
    assert [row["type"] for row in rows(export(LOG))] == [event.type for event in LOG]
    assert [row["cause"] for row in rows(export(LOG))][:5] == [
        "create",
        "rollback",
        None,
        "erase",
        "delete",
    ]


def test_the_columns_are_the_documented_ones() -> None:
    assert opened(export(LOG)).schema_arrow.equals(parquet_file.SCHEMA)


def test_the_footer_says_how_far_the_log_was_read() -> None:
    assert opened(export(LOG)).metadata.metadata[b"last_sequence"] == b"24"


def test_an_export_of_nothing_is_a_file_without_rows() -> None:
    assert rows(export()) == rows(export([], [])) == []


# -- row groups


@few
@for_all(cut_logs())
def test_where_pages_are_cut_does_not_matter(
    cut: tuple[list[Stored], list[list[Stored]]],
) -> None:
    log, pages = cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_file, "ROWS", SMALL_ROWS)
        patch.setattr(parquet_file, "BODY_BYTES", SMALL_BYTES)
        assert export(*pages) == export(log)


def groups(data: bytes) -> list[list[int]]:
    """The sequences of each row group."""
    file = opened(data)
    return [
        file.read_row_group(number, ["sequence"]).column("sequence").to_pylist()
        for number in range(file.num_row_groups)
    ]


@pytest.mark.usefixtures("small_groups")
def test_row_groups_are_bounded_in_rows_and_ordered_by_sequence() -> None:
    assert groups(export(many(5))) == [[1, 2], [3, 4], [5]]
    assert groups(export(many(4))) == [[1, 2], [3, 4]]


def test_row_groups_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    log = many(7)
    monkeypatch.setattr(parquet_file, "BODY_BYTES", 2 * len(log[0].body) + 1)
    assert groups(export(log)) == [[1, 2, 3], [4, 5, 6], [7]]


def test_without_bounds_a_log_would_be_one_row_group() -> None:
    assert groups(export(many(7))) == [[1, 2, 3, 4, 5, 6, 7]]


@pytest.mark.usefixtures("small_groups")
def test_a_row_group_is_sent_as_soon_as_it_is_complete() -> None:
    first, second, third = many(3)
    head, *sent, tail = chunks([first], [second], [third])
    assert head == b"PAR1"
    assert [bool(chunk) for chunk in sent] == [False, True, False]
    assert tail.endswith(b"PAR1")


def test_memory_stays_flat() -> None:
    log = many(12_500)
    encoder = encoder_to(len(log))
    held = pa.total_allocated_bytes()
    sent = [encoder.head()]
    for start in range(0, len(log), 1000):
        sent.append(encoder.encode(log[start : start + 1000]))
        assert pa.total_allocated_bytes() - held < 1_000_000
    sent.append(encoder.tail())
    assert [number for number, chunk in enumerate(sent) if chunk] == [0, 5, 10, 14]
    metadata = opened(b"".join(sent)).metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sizes == [5_000, 5_000, 2_500]


# -- other readers


@pytest.fixture
def file(tmp_path: Path, small_groups: None) -> Path:  # noqa: ARG001
    path = tmp_path / "audit.parquet"
    path.write_bytes(export(LOG))
    return path


def test_duckdb_reads_the_same_bytes(file: Path) -> None:
    with duckdb.connect() as connection:
        read = connection.execute(
            "SELECT sequence, body, leaf_hash, epoch_us(occurred_at), paths FROM read_parquet(?)",
            [str(file)],
        ).fetchall()
    assert [(sequence, body.encode(), leaf) for sequence, body, leaf, *_ in read] == [
        (event.sequence, event.body, event.hashes[: merkle.HASH_BYTES]) for event in LOG
    ]
    for event, (*_, micros, paths) in zip(EXAMPLES, read, strict=True):
        assert micros == event.occurred_at.timestamp() * 1_000_000
        assert paths == list(getattr(event, "changes", getattr(event, "paths", ())))


def test_duckdb_finds_a_range_of_sequences(file: Path) -> None:
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT sequence FROM read_parquet(?) WHERE sequence > 3 AND sequence <= 7 ORDER BY 1",
            [str(file)],
        ).fetchall()
    assert [sequence for (sequence,) in found] == [4, 5, 6, 7]


def test_a_reader_can_skip_row_groups_by_sequence(file: Path) -> None:
    metadata = pq.ParquetFile(file).metadata
    column = parquet_file.SCHEMA.get_field_index("sequence")
    bounds = [
        metadata.row_group(number).column(column).statistics
        for number in range(metadata.num_row_groups)
    ]
    pairs = [(n, n + 1) for n in range(1, 24, 2)]
    assert [(bound.min, bound.max) for bound in bounds] == pairs


def test_pyarrow_finds_events_by_time(file: Path) -> None:
    later = datetime.fromisoformat("2026-01-02T03:14:00Z")
    found = pq.read_table(file, filters=[("occurred_at", ">=", later)])
    assert found.column("sequence").to_pylist() == [*range(10, 25)]
