"""A client of the change stream, which reads it as the standard says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx

STREAM = "/api/v1/events/stream"


class Received(Struct, frozen=True):
    """An event as a client of server-sent events gets it."""

    id: str
    event: str
    data: dict[str, Any]


def events_in(lines: Iterable[str]) -> Iterator[Received]:
    """The events in the lines of a stream; comments and reconnection times are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield Received(fields["id"], fields["event"], msgspec.json.decode(fields["data"]))
            fields = {}


@contextmanager
def open_stream(
    client: httpx.Client, *, last_event_id: int | None = None, **query: Any
) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    """The answer of an open stream, and its lines as they come."""
    headers = {} if last_event_id is None else {"last-event-id": str(last_event_id)}
    with client.stream("GET", STREAM, params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield answer, answer.iter_lines()


def events_until_now(
    client: httpx.Client, *, last_event_id: int | None = None, **query: Any
) -> list[Received]:
    """The events of a stream that ends with the newest one."""
    query |= {"follow": "false"}
    with open_stream(client, last_event_id=last_event_id, **query) as (_, lines):
        return list(events_in(lines))


def sequences(events: Iterable[Received]) -> list[int]:
    """The sequences of events, by their ids."""
    return [int(event.id) for event in events]
