"""CSV over HTTP: the same guard and the same options wherever a table leaves."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from tests.conftest import ASSISTANTS
from tests.console import Browser

NAME = "=HYPERLINK(1);\u200b＝2"  # noqa: RUF001  # fullwidth
QUOTED = "'=HYPERLINK(1);'\u200b＝2"  # noqa: RUF001  # as above
BOM = b"\xef\xbb\xbf"
TABLES = (f"{ASSISTANTS}/export", "/api/v1/audit/export")


@pytest.fixture
def filled(admin: httpx.Client) -> httpx.Client:
    made = admin.post(ASSISTANTS, json={"name": NAME, "change_description": NAME})
    assert made.status_code == 201
    return admin


def table(client: httpx.Client, address: str, **query: str) -> bytes:
    answer = client.get(address, params={"format": "csv", **query})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    return answer.content


@pytest.mark.parametrize(("address", "column"), [(TABLES[0], "name"), (TABLES[1], "reason")])
def test_formulas_are_quoted_unless_they_are_asked_for_raw(
    filled: httpx.Client, address: str, column: str
) -> None:
    bounds = {"until_sequence": "1"} if "audit" in address else {}
    for formulas, cell in (
        ({}, QUOTED),
        ({"formulas": "quoted"}, QUOTED),
        ({"formulas": "raw"}, NAME),
    ):
        text = table(filled, address, **bounds, **formulas).decode()
        rows = csv.DictReader(io.StringIO(text, newline=""))
        assert {row[column] for row in rows} == {cell}


@pytest.mark.parametrize("address", TABLES)
def test_a_table_begins_with_a_byte_order_mark_where_one_is_asked_for(
    filled: httpx.Client, address: str
) -> None:
    bounds = {"until_sequence": "1"} if "audit" in address else {}
    plain = table(filled, address, **bounds)
    assert not plain.startswith(BOM)
    assert table(filled, address, **bounds, bom="true") == BOM + plain
    assert table(filled, address, **bounds, bom="false") == plain


@pytest.mark.parametrize("address", TABLES)
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"format": "json", "bom": "true"}, "bom"),
        ({"format": "json", "formulas": "raw"}, "formulas"),
        ({"format": "csv", "formulas": "none"}, "formulas"),
        ({"format": "csv", "bom": "perhaps"}, "bom"),
    ],
)
def test_what_is_not_about_a_table_is_refused(
    filled: httpx.Client, address: str, query: dict[str, str], name: str
) -> None:
    answer = filled.get(address, params=query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", name]


@pytest.mark.parametrize("options", [{}, {"bom": "true", "formulas": "raw"}])
def test_an_export_that_was_cut_goes_on_to_the_same_bytes(
    filled: httpx.Client, options: dict[str, str]
) -> None:
    for number in range(3):
        changed = {"description": f"={number}", "change_description": "=1"}
        assert filled.patch(f"{ASSISTANTS}/1", json=changed).status_code == 200
    audit = TABLES[1]
    whole = table(filled, audit, until_sequence="4", **options)
    parts = [
        table(filled, audit, until_sequence="2", **options),
        table(filled, audit, after="2", until_sequence="4", **options),
    ]
    assert b"".join(parts) == whole


def test_the_button_of_the_console_writes_for_excel(
    filled: httpx.Client, administrator: Browser
) -> None:
    assert table(filled, TABLES[1], until_sequence="1", bom="true") == (
        administrator.get("/audit/export?format=csv&until_sequence=1").content
    )
    raw = administrator.get("/audit/export?format=csv&bom=false&formulas=raw").content
    assert not raw.startswith(BOM)
    assert administrator.get("/audit/export?format=ndjson").content.startswith(b"{")
