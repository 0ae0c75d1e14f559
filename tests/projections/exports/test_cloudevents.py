from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.v1.http import from_json
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import structs

from events.log_search import Stored
from tests.events.given import ORGANIZATION
from tests.events.strategies import few, modest
from tests.projections.exports.sample_log import (
    EXAMPLES,
    LOG,
    LOGS,
    ORIGIN,
    export,
    lines,
    stored,
)


def cloudevents(log: Sequence[Stored]) -> Iterator[dict[str, Any]]:
    for batch in lines("cloudevents", log):
        (event,) = batch
        yield event


@few
@for_all(LOGS)
def test_both_generations_of_the_sdk_read_the_events(log: list[Stored]) -> None:
    for event, sent in zip(cloudevents(log), log, strict=True):
        body = json.loads(sent.body)
        today = JSONFormat().read(None, json.dumps(event))
        before = from_json(json.dumps(event))
        assert today.get_data() == before.get_data() == body
        assert today.get_id() == before["id"] == f"{ORGANIZATION}/{sent.sequence}"
        assert today.get_source() == before["source"] == ORIGIN
        assert today.get_type() == before["type"] == "backstory." + sent.type
        assert today.get_time() == datetime.fromisoformat(body["occurred_at"])
        assert before["time"] == body["occurred_at"]


def test_a_cloudevent_without_its_id_would_be_noticed() -> None:
    event = next(cloudevents(LOG))
    del event["id"], event["source"]
    with pytest.raises(Exception, match="source"):
        JSONFormat().read(None, json.dumps(event))


def test_a_cloudevent_says_what_it_is_about() -> None:
    subjects = [event.get("subject") for event in cloudevents(LOG)]
    assert subjects == ["assistants/4"] * 5 + ["api-keys/8"] * 3 + [None] * 4 + [
        "assistants/4",
        "assistants/4",
        None,
        *["phone-numbers/+14155551234"] * 4,
        *["webhooks/4"] * 5,
    ]


def test_a_cloudevent_holds_the_stored_bytes() -> None:
    for line, event in zip(export("cloudevents", LOG).splitlines(), LOG, strict=True):
        assert line.endswith(b'"data":' + event.body + b"}]")


@modest
@for_all(st.lists(st.integers(1, 2**63 - 1), min_size=2))
def test_the_sequences_of_cloudevents_sort_as_text(numbers: list[int]) -> None:
    log = [stored(structs.replace(EXAMPLES[0], sequence=number)) for number in sorted(numbers)]
    sequences = [event["sequence"] for event in cloudevents(log)]
    assert sequences == sorted(sequences)
    assert [int(sequence) for sequence in sequences] == sorted(numbers)
