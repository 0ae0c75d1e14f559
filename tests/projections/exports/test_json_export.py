from __future__ import annotations

import json

from hypothesis import given as for_all

from events.log_search import Stored
from tests.events.strategies import few
from tests.projections.exports.sample_log import LOG, LOGS, export


@few
@for_all(LOGS)
def test_the_document_is_the_events_and_how_far_they_go(log: list[Stored]) -> None:
    assert json.loads(export("json", log)) == {
        "events": [json.loads(event.body) for event in log],
        "last_sequence": len(log),
    }


def test_each_event_of_the_document_is_a_line() -> None:
    first, second = LOG[:2]
    assert export("json", [first], [], [second]) == (
        b'{"events":[\n' + first.body + b",\n" + second.body + b'\n],\n"last_sequence":2}\n'
    )
