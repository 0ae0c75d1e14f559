"""What ``check`` proves of a database: the views equal the log, and the log its hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import MsgspecError, Struct

from app.cli import context, proving, terminal
from events import log_head
from projections.check import Difference, differences

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.cli.proving import Prove

_SHOWN_DIFFERENCES = 20


class Faults(Struct, frozen=True, kw_only=True):
    """What is wrong with a database."""

    unproven: list[str]  # the first event of each log that is not what was hashed
    differences: int  # between the views and the log


def find_faults(connection: sa.Connection, url: sa.URL) -> Faults:
    """Hash every event anew, fold the views, and print the first differences.

    The views must be folded with this release's settings.
    """
    total = count_events(connection)
    undecodable = None
    with proving.beside(url, total) as prove:
        try:
            count = _show_differences(connection)
        except MsgspecError as error:  # such bytes are not those that were hashed, either
            count, undecodable = 0, error
        unproven = _unproven(connection, prove, total)
    if undecodable is not None and not unproven:
        raise undecodable
    return Faults(unproven=unproven, differences=count)


def find_unproven(connection: sa.Connection) -> list[str]:
    """As ``find_faults``, without the views."""
    return _unproven(connection, proving.prove, count_events(connection))


def count_events(connection: sa.Connection) -> int:
    """How many events the logs of all organizations hold."""
    ids = log_head.organization_ids(connection)
    return sum(log_head.head_of(connection, organization_id).sequence for organization_id in ids)


def _show_differences(connection: sa.Connection) -> int:
    """Print the first differences between the views and the log; how many there are."""
    count = 0
    total = context.count_stream_events(connection)
    with terminal.progress("checking", total, "events") as advance:
        for difference in differences(connection, advance):
            count += 1
            if count <= _SHOWN_DIFFERENCES:
                _show(difference)
    return count


def _show(difference: Difference) -> None:
    place = f"organization {difference.organization_id}, assistant {difference.assistant_id}"
    terminal.say(f"{place}, {difference.column}")
    terminal.say(f"- {_text(difference.stored)}")
    terminal.say(f"+ {_text(difference.folded)}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _unproven(connection: sa.Connection, prove: Prove, total: int) -> list[str]:
    with terminal.progress("hashing", total, "events") as advance:
        sequences = prove(connection, advance)
    return [
        f"organization {organization_id}, sequence {sequence}"
        for organization_id, sequence in sequences.items()
        if sequence is not None
    ]
