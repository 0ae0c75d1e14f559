"""Reading exports over HTTP, and the events in them."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from typing import Any

import httpx
import zstandard
from msgspec import Struct
from pyarrow import parquet

AUDIT = "/api/v1/audit"


EXPORT = f"{AUDIT}/export"


KEYS = "/api/v1/users/me/api-keys"


LINES = ("ndjson", "cloudevents", "ocsf")


FORMATS = (*LINES, "csv", "json", "parquet")


class Answer(Struct, frozen=True, kw_only=True):
    headers: httpx.Headers
    body: bytes

    @property
    def until(self) -> int:
        return int(self.headers["x-until-sequence"])


def read(client: httpx.Client, coding: str = "identity", **query: Any) -> Answer:
    """An export as it comes over the wire."""
    headers = {"accept-encoding": coding}
    with client.stream("GET", EXPORT, params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        return Answer(headers=answer.headers, body=b"".join(answer.iter_raw()))


def read_cut(client: httpx.Client, size: int, **query: Any) -> Answer:
    """An export whose first bytes are read; then the connection is closed."""
    headers = {"accept-encoding": "identity"}
    got = b""
    with client.stream("GET", EXPORT, params=query, headers=headers) as answer:
        assert answer.status_code == 200
        parts = answer.iter_raw()
        while len(got) < size and (part := next(parts, b"")):
            got += part
        return Answer(headers=answer.headers, body=got[:size])


def sequences(form: str, body: bytes) -> list[int]:
    """Of the events that an export holds, each once."""
    match form:
        case "ndjson":
            *lines, _ = body.splitlines()
            return [json.loads(line)["leaf_index"] + 1 for line in lines]
        case "cloudevents":
            return [int(event["sequence"]) for line in lines_of(body) for event in line]
        case "ocsf":
            return [line["metadata"]["sequence"] for line in lines_of(body)]
        case "csv":
            _, *rows = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
            return list(dict.fromkeys(int(row[0]) for row in rows))
        case "json":
            return [event["sequence"] for event in json.loads(body)["events"]]
        case _:
            table = parquet.read_table(io.BytesIO(body))
            found: list[int] = table.column("sequence").to_pylist()
            return found


def lines_of(body: bytes) -> list[Any]:
    assert body == b"" or body.endswith(b"\n")
    return [json.loads(line) for line in body.split(b"\n")[:-1]]


def events_of(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return [line["event"] for line in lines_of(read(client, **query).body)[:-1]]


def decode(coding: str, body: bytes) -> bytes:
    """As much as a beginning of a compressed answer gives."""
    if coding == "gzip":
        return zlib.decompressobj(31).decompress(body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


_ROW = re.compile(rb"\r\n(\d+),\d{4}-\d\d-\d\dT")


def last_sequence(form: str, kept: bytes) -> int:
    """Of what was kept; 0 for nothing."""
    if not kept:
        return 0
    if form == "csv":
        return int((_ROW.findall(kept) or [0])[-1])
    last = json.loads(kept[kept.rfind(b"\n", 0, -1) + 1 :])
    match form:
        case "ndjson":
            return int(last.get("last_sequence", last.get("leaf_index", -2) + 1))
        case "cloudevents":
            return int(last[0]["sequence"])
        case _:
            return int(last["metadata"]["sequence"])
