"""Where a file goes on is a law of its format: see tests/projections/exports/test_resuming.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.audit import resume
from app.audit.resume import NotAnExport
from projections.exports.formats import FORMATS
from projections.exports.resuming import Resumption

LINE = b'{"leaf_index":6,"leaf_hash":"","event":{}}\n'


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_does_not_exist_starts_at_the_beginning(tmp_path: Path, name: str) -> None:
    assert resume.find(tmp_path / "nothing", FORMATS[name]) == Resumption()


def test_a_file_goes_on_as_its_format_says(tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    file.write_bytes(LINE + b'{"leaf')
    assert resume.find(file, FORMATS["ndjson"]) == Resumption(size=0, after=6, last=LINE)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", [b"buy milk\n", b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_holds_something_else_is_refused_and_stays(
    tmp_path: Path, name: str, text: bytes
) -> None:
    file = tmp_path / "notes"
    file.write_bytes(text)
    with pytest.raises(NotAnExport, match=r"notes holds no such export: see its byte 0$"):
        resume.find(file, FORMATS[name])
    assert file.read_bytes() == text


def test_a_refusal_names_the_byte_that_does_not_belong_there(tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    file.write_bytes(LINE + b"buy milk\n")
    with pytest.raises(NotAnExport, match=rf"see its byte {len(LINE)}$"):
        resume.find(file, FORMATS["ndjson"])
    assert file.read_bytes() == LINE + b"buy milk\n"
