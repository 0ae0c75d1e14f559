"""Texts are searched, sorted and filtered by one rule, whichever engine holds them.

The table is asked of both engines in one test; each answer is held against the rule in Python, and
against what a person expects.
"""

# ruff: noqa: RUF001  # letters that look like others are what this is about

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import structs

from projections import activity, current
from projections.casefolding import casefolded
from projections.current import Selection, assistants
from projections.history import is_by
from tests.databases import Kind, chosen
from tests.events.given import ACTOR, at
from tests.events.log import Desk, Log, opened
from tests.events.strategies import modest

ENGINES: tuple[Kind, ...] = ("sqlite", "postgresql")

# A name, and whether each text finds it.
TABLE: dict[str, dict[str, bool]] = {
    "Straße": {"strasse": True, "STRASSE": True, "straße": True, "STRAẞE": True, "strase": False},
    "ΟΔΥΣΣΕΥΣ": {"οδυσσευς": True, "οδυσσευσ": True, "Οδυσσεύς": False},
    "Привет, МИР": {"привет": True, "мир": True, "мiр": False},
    "İstanbul": {"i\u0307stanbul": True, "İSTANBUL": True, "STANBUL": True, "ıstanbul": False},
    "ISPARTA": {"isparta": True, "ısparta": False},
    "Café Zoë": {"CAFÉ": True, "cafe\u0301": True, "ZOE\u0308": True, "cafe z": False},
    "Cafe\u0301 of parts": {"café of": True, "CAFE\u0301 OF": True, "CAFÉ OF": True},
    "\u1112\u1161\u11ab\u1100\u1173\u11af": {"한글": True, "한": True, "하": False},
    "Tiếng Việt": {"tiếng việt": True, "TIE\u0302\u0301NG VIE\u0323\u0302T": True, "tieng": False},
    "ｆｕｌｌ width": {"ＦＵＬＬ": True, "full": False, "width": True},
    "100% of_it\\all": {"%": True, "0% O": True, "_": True, "\\": True, "%%": False, "f_i": True},
    "a%b": {"a%b": True, "a_b": False, "axb": False},
    "slash/ed": {"h/e": True, "/": True, "//": False},
    "Robot 🤖 Größe": {"🤖": True, "🤖 gRÖSSE": True, "🚀": False},
    "שלום عالم": {"שלום": True, "عالم": True, "שלוםعالم": False},
    "ﬁne": {"FINE": True, "ﬁ": True},
    "Ǆ ǆ ǅ": {"ǆ ǆ ǆ": True},
    "Ångstrom": {"\u212bNGSTROM": True, "a\u030angstrom": True},
    "\u1e9b\u0323": {"\u1e69": True, "\u1e9b\u0323": True},
    "日本語 ひらがな": {"日本": True, "ヒラガナ": False},
    "ᏔᎵ ꮤꮅ": {"ꮤꮅ ꮤꮅ": True, "ᏔᎵ ᏔᎵ": True},
    "Ά\u0345": {"ᾴ": True, "άι": True, "ΆΙ": True},
}  # fmt: skip
DESCRIBED = "Described by ÉTÉ"


def create_named(log: Log, connection: sa.Connection) -> None:
    """An organization with an assistant for each name of the table, and one that is described."""
    desk = Desk(log, connection)
    for name in TABLE:
        desk.create(1, {"name": name})
    desk.create(1, {"name": "zz", "description": DESCRIBED})
    desk.rest()


def names(connection: sa.Connection, search: str) -> list[str]:
    selected = current.select(connection, 1, Selection(search=search))
    return [state.settings["name"] for _, state in selected]


def by_name(connection: sa.Connection) -> list[str]:
    shown = activity.select(
        connection, 1, Selection(), "name", at(0).date(), skip=0, limit=len(TABLE) + 1
    )
    return [assistant.name for assistant in shown]


def asked(folder: Path, kind: Kind) -> tuple[dict[str, list[str]], list[str]]:
    """The names that each text of the table finds on an engine, and all names in its order."""
    with chosen(kind), opened(folder / f"{kind}.db") as log, log.undone() as connection:
        create_named(log, connection)
        searches = [*{text for row in TABLE.values() for text in row}, "été"]
        return {text: names(connection, text) for text in searches}, by_name(connection)


def test_both_engines_find_and_sort_the_same_in_every_script(tmp_path: Path) -> None:
    answers = {kind: asked(tmp_path, kind) for kind in ENGINES}
    found, in_order = answers["sqlite"]
    assert answers["postgresql"] == (found, in_order)
    wrong = [
        (name, text)
        for name, row in TABLE.items()
        for text, is_found in row.items()
        if (name in found[text]) != is_found
    ]
    assert wrong == []
    for text, shown in found.items():  # nothing else is found either
        assert set(shown) - {"zz"} == {
            name for name in TABLE if casefolded(text) in casefolded(name)
        }
    assert found["été"] == ["zz"]
    assert in_order == sorted([*TABLE, "zz"], key=casefolded)


@pytest.fixture
def unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what the engines make of case by themselves."""
    monkeypatch.setattr(current, "casefolded", str)


@pytest.mark.usefixtures("unfolded")
def test_without_folding_the_engines_find_less_and_not_the_same(tmp_path: Path) -> None:
    (sqlite, _), (postgresql, _) = [asked(tmp_path, kind) for kind in ENGINES]
    assert sqlite != postgresql
    assert "Straße" not in sqlite["STRASSE"] + postgresql["STRASSE"]


def test_names_are_sorted_by_an_index(log: Log) -> None:
    (index,) = [one for one in assistants.indexes if one.name == "assistants_by_name"]
    assert [column.name for column in index.columns] == ["organization_id", "folded_name"]
    with log.undone() as connection:
        found = sa.inspect(connection).get_indexes("assistants")
    assert "assistants_by_name" in [one["name"] for one in found]


@modest
@for_all(st.text())
def test_a_text_folds_alike_however_it_is_composed(text: str) -> None:
    folded = casefolded(text)
    for form in ("NFC", "NFD"):
        assert casefolded(unicodedata.normalize(form, text)) == folded
    assert casefolded(folded) == folded
    assert casefolded(text.casefold()) == folded or not text.isascii()
    assert unicodedata.is_normalized("NFC", folded)


@modest
@for_all(st.text(), st.text(), st.text())
def test_ascii_has_no_way_of_its_own(before: str, text: str, after: str) -> None:
    plain = text.encode("ascii", "ignore").decode()
    assert casefolded(plain) == plain.casefold()
    assert casefolded(f"é{plain}") == f"é{casefolded(plain)}"
    assert casefolded(plain) in casefolded(f"{before} {plain} {after}")


# -- who did it


@pytest.mark.parametrize(("name", "finding"), list(TABLE.items()))
def test_actors_are_found_by_the_same_rule(name: str, finding: dict[str, bool]) -> None:
    actor = structs.replace(ACTOR, name=name)
    for text in finding:
        assert is_by(actor, text) == (casefolded(text) == casefolded(name))
    for same in (name.upper(), unicodedata.normalize("NFD", name), name.casefold()):
        assert is_by(actor, same) == (casefolded(same) == casefolded(name))
    assert is_by(actor, unicodedata.normalize("NFD", name.casefold()))
    assert is_by(actor, f"{actor.type}:{actor.id}".upper())
