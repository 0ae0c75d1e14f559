"""The settings of a PostgreSQL server on which durability depends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.cli.doctor.finding import Finding, ok, warn, wrong
from app.storage import citus

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLDEST = 15
_VERSION = sa.text("SELECT current_setting('server_version_num')::integer / 10000")
_SETTING = sa.text("SELECT current_setting(:name)")
_NEEDED = ("fsync", "full_page_writes")


def version(connection: sa.Connection) -> Finding:
    """The server's release."""
    number = connection.execute(_VERSION).scalar_one()
    if number < _OLDEST:
        return wrong("server", f"PostgreSQL {number}: {_OLDEST} or newer is needed")
    return ok("server", f"PostgreSQL {number}")


def durability(connection: sa.Connection) -> Iterator[Finding]:
    """Whether what was answered outlives a power cut."""
    off = [name for name in _NEEDED if _read(connection, name) == "off"]
    for name in off:
        yield wrong("durability", f"{name} = off: a power cut can destroy the database; set it on")
    commit = _read(connection, "synchronous_commit")
    if commit == "off":
        yield warn(
            "durability",
            "synchronous_commit = off: servers set it on, but not through a pooler that ignores"
            " startup parameters; set it on",
        )
    elif not off:
        yield ok("durability", f"{', '.join(_NEEDED)} are on, synchronous_commit = {commit}")


def nodes(connection: sa.Connection) -> Iterator[Finding]:
    """Whether what was answered outlives a power cut of a node; nothing without Citus.

    What a session sets on the coordinator does not reach the nodes.
    """
    if not citus.is_installed(connection):
        return
    for name, bad in (("synchronous_commit", ("off", "local")), ("fsync", ("off",))):
        for node, value in citus.settings_of_nodes(connection, name).items():
            if value in bad:
                yield wrong("nodes", f"{name} = {value} on {node}: set it on")
                continue
            yield ok("nodes", f"{name} = {value} on {node}")


def _read(connection: sa.Connection, name: str) -> str:
    value: str = connection.execute(_SETTING, {"name": name}).scalar_one()
    return value
