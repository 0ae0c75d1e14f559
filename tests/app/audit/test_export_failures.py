"""An export that fails on its way does not look complete."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from app.audit.verify import Failed, read_keys, verify
from tests.conftest import (
    serving_process,
)
from tests.databases import execute, unguarded

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.app.audit.exports import AUDIT, EXPORT, read
from tests.app.audit.written_logs import Written


@pytest.fixture(scope="module")
def broken(written: Written, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An admin's client of a log whose event 1500 is no JSON any more."""
    folder = tmp_path_factory.mktemp("broken")
    database = written.copy(folder)
    execute(database, unguarded("events_are_not_updated"))
    execute(
        database,
        "UPDATE events SET body = :body WHERE organization_id = :id AND sequence = 1500",
        body=b'{"cut',
        id=written.varied.id,
    )
    with (
        (folder / "stderr").open("w") as stderr,
        serving_process(database, [], stderr=stderr) as server,
        server.client(written.varied.admin) as client,
    ):
        yield client


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["csv", "cloudevents", "ocsf", "parquet"])
def test_an_export_that_fails_on_the_way_does_not_look_whole(
    broken: httpx.Client, form: str, coding: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        read(broken, coding, format=form)
    assert read(broken, coding, format=form, until_sequence=1499).until == 1499  # the control


def test_what_was_read_of_an_export_that_fails_is_right(broken: httpx.Client) -> None:
    got = b""
    headers = {"accept-encoding": "identity"}
    with broken.stream("GET", EXPORT, params={"format": "csv"}, headers=headers) as answer:
        parts = answer.iter_raw()
        with suppress(httpx.RemoteProtocolError):
            while True:
                got += next(parts)
    assert len(got) > 10_000
    assert read(broken, format="csv", until_sequence=1499).body.startswith(got)


def test_an_event_that_was_edited_in_the_database_is_found_by_the_verifier(
    broken: httpx.Client,
) -> None:
    keys = read_keys(broken.get(f"{AUDIT}/key").content)
    body = read(broken).body
    with pytest.raises(Failed) as failed:
        verify(body.splitlines(keepends=True), keys)
    assert (failed.value.sequence, failed.value.what) == (1500, "edited")
