"""The formats that exports can have, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from projections.exports.cloudevents import CLOUDEVENTS
from projections.exports.csv import csv_format
from projections.exports.format import Format
from projections.exports.json import JSON
from projections.exports.ndjson import NDJSON
from projections.exports.ocsf import OCSF
from projections.exports.parquet import PARQUET
from projections.spreadsheets import Table

FormatName = Literal["ndjson", "csv", "json", "cloudevents", "ocsf", "parquet"]
_FORMATS = (NDJSON, csv_format(Table()), JSON, CLOUDEVENTS, OCSF, PARQUET)
FORMATS: Mapping[str, Format] = {form.name: form for form in _FORMATS}


def find_format(name: str, table: Table | None = None) -> Format:
    """A format by its name; ``table`` says how CSV is written, and is ignored for the others.

    Raises ``ParquetMissing`` where Parquet is requested and its extra is not installed.
    """
    form = csv_format(table) if table is not None and name == "csv" else FORMATS[name]
    form.require()
    return form
