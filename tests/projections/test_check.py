from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from projections import current, keyframes, labels, policies, reversals
from projections.check import Difference
from projections.rebuild import rebuild
from projections.views import TABLES
from tests.events.log import rows
from tests.projections.changes import differences_of, every_view, silent


@pytest.mark.parametrize(
    ("table", "column", "place", "tampered"),
    [
        (keyframes.keyframes, "state", "keyframes[1,64].", b"{}"),
        (keyframes.keyframes, "blame", "keyframes[1,64].", b"{}"),
        (keyframes.keyframes, "occurred_at", "keyframes[1,64].", 0),
        (labels.labels, "label", "labels[1,1].", "third"),
        (reversals.reversals, "first_version", "reversals[1,131].", 9),
        (reversals.reversals, "last_version", "reversals[1,131].", 9),
        (reversals.reversals, "paths", "reversals[1,131].", b"[]"),
        (policies.policies, "policy", "policies[].", b"{}"),
        (policies.policies, "sequence", "policies[].", 1),
    ],
    ids=lambda value: str(value) if isinstance(value, sa.Table | str) else "",
)
def test_a_tampered_column_of_another_view_is_found(
    viewed: sa.Connection, table: sa.Table, column: str, place: str, tampered: Any
) -> None:
    live = every_view(viewed)
    key = next(iter(rows(viewed, table)))[: len(table.primary_key)]
    the_row = [one == value for one, value in zip(table.primary_key, key, strict=True)]
    (folded,) = viewed.execute(sa.select(table.c[column]).where(*the_row)).one()
    viewed.execute(sa.update(table).where(*the_row).values({column: tampered}))
    assert differences_of(viewed) == [
        Difference(
            organization_id=1,
            assistant_id=1 if "assistant_id" in table.c else 0,
            column=place + column,
            stored=tampered,
            folded=folded,
        )
    ]
    rebuild(viewed, silent)
    assert every_view(viewed) == live


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_missing_and_an_extra_row_of_any_view_are_found(
    viewed: sa.Connection, table: sa.Table
) -> None:
    (first, *_) = viewed.execute(sa.select(table)).mappings()
    the_row = [one == first[one.name] for one in table.primary_key]
    viewed.execute(sa.delete(table).where(*the_row))
    assert {d.stored for d in differences_of(viewed)} == {None}
    viewed.execute(sa.insert(table), dict(first))
    assert differences_of(viewed) == []
    extra = dict(first) | {table.primary_key.columns.values()[-1].name: 777}
    unique = {"label": "other", "phone_number": "+14155550009"}
    extra |= {name: value for name, value in unique.items() if name in first}
    viewed.execute(sa.insert(table), extra)
    assert {d.folded for d in differences_of(viewed)} == {None}


TAMPERED = {
    "version": 9,
    "deleted": True,
    "user_id": 99,
    "name": "Somebody else's",
    "description": "new",
    "is_active": False,
    "created_at": 0,
    "updated_at": 0,
    "settings": b"{}",
}


def one_row() -> sa.ColumnElement[bool]:
    return sa.and_(
        current.assistants.c.organization_id == 2, current.assistants.c.assistant_id == 1
    )


def test_views_that_say_what_the_log_says_do_not_differ(views: sa.Connection) -> None:
    assert differences_of(views) == []


@pytest.mark.parametrize("column", TAMPERED)
def test_a_tampered_column_is_found(views: sa.Connection, column: str) -> None:
    table = current.assistants
    (folded,) = views.execute(sa.select(table.c[column]).where(one_row())).one()
    views.execute(sa.update(table).where(one_row()).values({column: TAMPERED[column]}))
    assert differences_of(views) == [
        Difference(
            organization_id=2,
            assistant_id=1,
            column=column,
            stored=TAMPERED[column],
            folded=folded,
        )
    ]


def test_one_changed_byte_of_the_settings_is_found(views: sa.Connection) -> None:
    table = current.assistants
    (settings,) = views.execute(sa.select(table.c.settings).where(one_row())).one()
    changed = settings.replace(b'"temperature":1.5', b'"temperature":1.4')
    assert changed != settings
    views.execute(sa.update(table).where(one_row()).values(settings=changed))
    assert [difference.column for difference in differences_of(views)] == ["settings"]


def test_a_missing_row_is_found(views: sa.Connection) -> None:
    views.execute(sa.delete(current.assistants).where(one_row()))
    different = differences_of(views)
    assert {(d.organization_id, d.assistant_id) for d in different} == {(2, 1)}
    assert "settings" in {d.column for d in different}
    assert {d.stored for d in different} == {None}


def test_an_extra_row_is_found(views: sa.Connection) -> None:
    row = views.execute(sa.select(current.assistants).where(one_row())).mappings().one()
    views.execute(sa.insert(current.assistants), dict(row) | {"assistant_id": 77})
    different = differences_of(views)
    assert {(d.organization_id, d.assistant_id) for d in different} == {(2, 77)}
    assert {d.folded for d in different} == {None}


def test_a_row_of_an_organization_that_is_not_there_is_found(views: sa.Connection) -> None:
    row = views.execute(sa.select(current.assistants).where(one_row())).mappings().one()
    views.execute(sa.insert(current.assistants), dict(row) | {"organization_id": 77})
    assert {(d.organization_id, d.assistant_id) for d in differences_of(views)} == {(77, 1)}
    rebuild(views, silent)
    assert differences_of(views) == []
