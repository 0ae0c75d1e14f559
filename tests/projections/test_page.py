"""What projections/README.md lists is what there is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import projections
from projections.exports.csv import COLUMNS
from projections.exports.formats import FORMATS
from projections.exports.parquet_file import SCHEMA
from projections.exports.resuming import start_over
from projections.views import TABLES

ROOM = Path(str(projections.__file__)).parent
PAGE = (ROOM / "README.md").read_text("utf-8")


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    return re.split(r"\n#+ ", PAGE.partition(f"# {title}\n")[2])[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables in a section, without their headings."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return cells[2:]


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_every_link_leads_to_a_file_or_folder(target: str) -> None:
    assert (ROOM / target).exists()


@pytest.mark.parametrize("path", sorted({n for n in names(PAGE) if n.startswith("tests/")}))
def test_every_test_that_the_page_names_is_there(path: str) -> None:
    assert (ROOM.parent / path).exists()


def test_every_view_is_listed() -> None:
    assert [names(first)[0] for first, *_ in rows("The views")] == [table.name for table in TABLES]


def test_every_module_is_named() -> None:
    modules = {path.name for path in ROOM.glob("*.py")} - {"__init__.py"}
    assert modules <= set(re.findall(r"\]\(([^)]+\.py)\)", PAGE))


def test_every_format_is_listed_with_its_media_type_and_how_it_goes_on() -> None:
    listed = {names(name)[0]: (names(kind)[0], cut) for name, kind, cut in rows("Exports")}
    assert {name: kind for name, (kind, _) in listed.items()} == {
        name: form.media_type for name, form in FORMATS.items()
    }
    for name, (_, cut) in listed.items():
        assert (cut == "starts over") == (FORMATS[name].resume is start_over)
        assert section(name)


def test_the_columns_of_csv_are_listed_in_their_order() -> None:
    assert [name for first, _ in rows("csv") for name in names(first)] == list(COLUMNS)


def test_the_columns_of_parquet_are_listed_in_their_order() -> None:
    listed = names(section("parquet").partition("Columns:")[2])
    assert listed[: len(SCHEMA.names)] == SCHEMA.names
