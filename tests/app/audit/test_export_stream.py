"""A page of an export that is read again, after its connection was lost, is written once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from app.audit import exporting, signing
from app.audit.exporting import ExportRequest, ExportStream
from events import log_search
from projections.exports.formats import find_format
from tests.app.audit.exports import FORMATS
from tests.app.audit.written_logs import Written
from tests.databases import config_of, reading_engine


@pytest.mark.parametrize("form", FORMATS)
def test_a_page_that_is_read_again_is_written_once(
    written: Written, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    database = written.folder / "backstory.db"
    engine = reading_engine(database)
    signer = signing.open_signer(config_of(database))
    with engine.connect() as connection:
        export = exporting.plan_export(
            connection, signer, written.brief.id, find_format(form), ExportRequest()
        )
    whole = b"".join(exporting.chunks(engine.connect, export, lambda _: None))
    read_stored = log_search.read_stored
    lost: list[int] = []

    def read_until_lost(*args: Any, **options: Any) -> Iterator[list[log_search.Stored]]:
        """Lose the connection once, behind the first rows of a page."""
        for number, rows in enumerate(read_stored(*args, **options)):
            if number == 1 and not lost:
                lost.append(number)
                raise ConnectionError
            yield rows

    monkeypatch.setattr(log_search, "read_stored", read_until_lost)
    stream, again = ExportStream(export), b""
    while not stream.is_done:
        with engine.connect() as connection, suppress(ConnectionError):
            again += b"".join(stream.read(connection))
    engine.dispose()
    assert lost
    assert again == whole
