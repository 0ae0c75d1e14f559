"""Random changes of several organizations, and the rows of every view that they lead to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st

from projections.check import Difference, differences
from projections.views import TABLES
from tests.events.log import rows
from tests.events.strategies import bodies, secret_bodies

CHANGES = st.one_of(
    bodies(),
    secret_bodies(),
    secret_bodies(),
    st.integers(0, 20),
    st.tuples(st.just("create"), bodies() | secret_bodies()),
    st.tuples(st.just("undo"), st.integers(0, 20)),
    st.tuples(
        st.just("roll back"),
        st.integers(0, 20),
        st.lists(st.sampled_from(["", "/llm_settings", "/api_keys", "/name"]), min_size=1).map(
            tuple
        ),
    ),
    st.tuples(st.just("label"), st.integers(0, 20), st.sampled_from(["one", "two", None])),
    st.tuples(
        st.just("demand"),
        st.sampled_from(
            [
                {"require_reason": True},
                {"require_reason": False, "admin_paths": []},
                {"admin_paths": ["/llm_settings"], "require_condition": True},
                {"require_condition": False},
            ]
        ),
    ),
    st.tuples(st.just("add number"), st.sampled_from(["Line", None])),
    st.tuples(st.just("assign"), st.integers(0, 1)),
    st.just(("end or revive",)),
    st.just("rest"),
)
STEPS = st.lists(st.tuples(st.integers(0, 5), CHANGES), max_size=16)
OFTEN = 3  # a keyframe at every third version, so that short streams have some


def silent(_: int) -> None:
    """Progress that nobody waits for."""


def differences_of(connection: sa.Connection) -> list[Difference]:
    return list(differences(connection, silent))


def every_view(connection: sa.Connection) -> dict[str, list[Any]]:
    return {table.name: rows(connection, table) for table in TABLES}
