"""An export that was cut anywhere goes on to the same bytes; another file is refused."""

from __future__ import annotations

import csv
import io
import random
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import structs

from events import codec, merkle
from events.changed import AssistantSettingsChanged, Event
from events.log_search import Stored
from events.pointers import Change
from projections.exports.format import Coverage, Encoder
from projections.exports.formats import FORMATS
from projections.exports.resuming import NotThisFormat, Resumption, start_over
from tests.events.given import ACTOR, ASSISTANT, ORGANIZATION, PATCH, at
from tests.events.strategies import EVENTS, few, modest

NAMES = [name for name, form in FORMATS.items() if form.resume is not start_over]
CHECKPOINT = "backstory/organizations/1/5f0c\n12\nAAAA\n\n— backstory AAAA\n"
REASONS = (
    None,
    "one\nand another",
    'said "twice"\r\n2,2026-01-02,not a row\r\n',
    '"',
    "\r",
    '9,"\n',
    "ä𝄞",
)


def stored(event: Event, sequence: int) -> Stored:
    body = codec.encode(structs.replace(event, sequence=sequence))
    return Stored(sequence, body, merkle.leaf_hash(body))


def changed(number: int) -> Event:
    """Events with one to three changed paths, and a reason that a table must quote."""
    reason = REASONS[number % len(REASONS)]
    return AssistantSettingsChanged(
        organization_id=ORGANIZATION,
        sequence=0,
        assistant_id=ASSISTANT,
        version=number,
        occurred_at=at(number),
        actor=ACTOR,
        reason=reason,
        cause=PATCH,
        request_id=None,
        changes={f"/p{one}": Change(before=reason, after=one) for one in range(number % 3 + 1)},
    )


LOG = [stored(changed(number), number) for number in range(1, 13)]


@st.composite
def logs(draw: st.DrawFn) -> list[Stored]:
    """Events in order; some of them are missing, as in an export with a filter."""
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 9, 90]), max_size=6))
    return [stored(draw(EVENTS), sequence) for sequence in accumulate(steps)]


CUTS: SearchStrategy[float] = st.floats(0, 1)


def encoder(
    name: str,
    log: list[Stored],
    event_filter: dict[str, str | int] | None = None,
    *,
    continues: bool = False,
) -> Encoder:
    coverage = Coverage(
        origin="a log",
        last_sequence=log[-1].sequence if log else 0,
        filter=event_filter or {},
        checkpoint=CHECKPOINT,
        continues=continues,
    )
    return FORMATS[name].encoder(coverage)


def head(name: str) -> bytes:
    return encoder(name, []).head()


def lines(name: str, log: list[Stored]) -> bytes:
    return encoder(name, log).encode(log)


def export(name: str, log: list[Stored], event_filter: dict[str, str | int] | None = None) -> bytes:
    whole = encoder(name, log, event_filter)
    return whole.head() + whole.encode(log) + whole.tail()


def continued(
    name: str,
    log: list[Stored],
    kept: bytes,
    resumption: Resumption,
    event_filter: dict[str, str | int] | None = None,
) -> bytes:
    """The bytes of a file after the command has continued it."""
    rest = [event for event in log if event.sequence > resumption.after]
    assert not resumption.last or lines(name, rest[:1]).startswith(resumption.last)
    if resumption.closing:
        assert rest == []
        return kept[: resumption.size]
    part = encoder(name, log, event_filter, continues=resumption.after > 0)
    return kept[: resumption.size] + part.head() + part.encode(rest) + part.tail()


def resumption_of(text: bytes, name: str) -> Resumption:
    return FORMATS[name].resumption(io.BytesIO(text))


# -- the law


@modest
@for_all(logs(), CUTS)
def test_an_export_that_was_cut_anywhere_goes_on_to_the_same_bytes(
    log: list[Stored], cut: float
) -> None:
    for name in NAMES:  # to draw a log costs more than to export it
        whole = export(name, log)
        kept = whole[: round(cut * len(whole))]
        assert continued(name, log, kept, resumption_of(kept, name)) == whole, name


def test_a_table_goes_on_from_every_one_of_its_bytes() -> None:
    goes_on_from_everywhere("csv", LOG, {})


@pytest.mark.parametrize("name", NAMES)
def test_an_export_of_a_part_of_the_log_goes_on_from_every_one_of_its_bytes(name: str) -> None:
    log = [stored(changed(number), sequence) for number, sequence in enumerate((9, 10, 12, 100))]
    goes_on_from_everywhere(name, log, {"assistant_id": ASSISTANT, "path": "/p"})


def goes_on_from_everywhere(
    name: str, log: list[Stored], event_filter: dict[str, str | int]
) -> None:
    whole = export(name, log, event_filter)
    for cut in range(len(whole) + 1):
        resumption = resumption_of(whole[:cut], name)
        assert continued(name, log, whole[:cut], resumption, event_filter) == whole, cut


@few
@for_all(logs(), CUTS)
def test_of_what_is_whole_only_the_last_event_is_written_anew(
    log: list[Stored], cut: float
) -> None:
    for name in NAMES:
        whole = export(name, log)
        kept = whole[: round(cut * len(whole))]
        resumption = resumption_of(kept, name)
        assert 0 <= resumption.size <= len(kept), name
        ends = [*accumulate([len(lines(name, [one])) for one in log], initial=len(head(name)))]
        there = [one.sequence for one, end in zip(log, ends[1:], strict=True) if end <= len(kept)]
        assert resumption.after >= max(there[:-1], default=0), name
        assert resumption.reached >= max(there, default=0), name


def test_a_cell_of_a_megabyte_is_read() -> None:
    long = structs.replace(changed(0), reason='a "b"\n' * 200_000)
    log = [stored(long, 1), *LOG[1:]]
    whole = export("csv", log)
    cut = whole[: len(whole) - len(lines("csv", LOG[-1:])) + 9]
    resumption = resumption_of(cut, "csv")
    assert resumption.after == 10
    assert continued("csv", log, cut, resumption) == whole


# -- resumptions


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_file_starts_at_the_beginning(name: str) -> None:
    assert resumption_of(b"", name) == Resumption()


def test_all_formats_but_the_two_documents_can_be_continued() -> None:
    assert sorted({*FORMATS} - {*NAMES}) == ["json", "parquet"]


@pytest.mark.parametrize("name", ["json", "parquet"])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 12, 40])
def test_one_document_starts_over_wherever_it_was_cut(name: str, length: int) -> None:
    text = b"PAR1" + b"\0" * 40 if name == "parquet" else export("json", LOG)
    assert resumption_of(text[:length], name) == Resumption()


def test_a_closing_line_holds_its_filter() -> None:
    event_filter: dict[str, str | int] = {"assistant_id": 4, "actor": "Ada"}
    text = export("ndjson", LOG, event_filter)
    resumption = resumption_of(text, "ndjson")
    assert (resumption.size, resumption.after) == (len(text), 12)
    assert (resumption.last, resumption.reached) == (b"", 12)
    assert resumption.closing is not None
    assert resumption.closing.states(CHECKPOINT, event_filter)
    assert not resumption.closing.states(CHECKPOINT, {})
    assert not resumption.closing.states(CHECKPOINT.replace("\n12\n", "\n13\n"), event_filter)


def test_a_closing_line_is_the_same_whichever_key_signed_it() -> None:
    resumption = resumption_of(export("ndjson", LOG), "ndjson")
    assert resumption.closing is not None
    assert resumption.closing.states(CHECKPOINT.replace("— backstory AAAA", "— backstory BBBB"), {})


def test_parts_that_follow_one_another_in_a_file_go_on_after_the_last() -> None:
    first, second = export("ndjson", LOG[:5]), export("ndjson", LOG[5:])
    assert resumption_of(first + second, "ndjson").after == 12
    assert resumption_of(first + second[:-9], "ndjson").after == 11
    assert resumption_of(first + second[:9], "ndjson").after == 5


# -- controls: what each guard is for


def naive(text: bytes) -> tuple[int, int]:
    """After the last whole row, as if each event had one."""
    at_end = text.rindex(b"\r\n") + 2
    rows = list(csv.reader(io.StringIO(text[:at_end].decode(), newline="")))
    return at_end, int(rows[-1][0])


def test_control_without_dropping_the_rows_of_the_last_event_some_of_them_would_be_lost() -> None:
    log = [stored(structs.replace(changed(2), reason=None), 1)]  # three rows
    whole = export("csv", log)
    first = whole.index(b"\r\n", len(head("csv"))) + 2
    size, after = naive(whole[:first])
    assert whole[:size] + lines("csv", [one for one in log if one.sequence > after]) != whole
    resumption = resumption_of(whole[:first], "csv")
    assert continued("csv", log, whole[:first], resumption) == whole


def test_control_a_sequence_that_was_cut_between_its_digits_is_no_smaller_one() -> None:
    whole = export("csv", LOG)
    cut = whole.index(b"\r\n12,") + 3  # the last row is "1"
    assert next(reversed(list(csv.reader(io.StringIO(whole[:cut].decode())))))[0] == "1"
    assert resumption_of(whole[:cut], "csv").after == 10


def test_control_a_line_in_a_quoted_cell_is_no_row() -> None:
    whole = export("csv", LOG)
    cut = whole.index(b"2,2026-01-02,not a row\r\n") + len(b"2,2026-01-02,not a row\r\n")
    assert whole[:cut].splitlines()[-1].startswith(b"2,")
    assert resumption_of(whole[:cut], "csv").after == 1 - 1


# -- what is no export


FOREIGN: dict[str, bytes] = {
    "a note": b"buy milk\n",
    "a note without a newline": b"buy milk",
    "a database": b"SQLite format 3\0" + bytes(84),
    "another object": b'{"name":"Ada"}\n',
    "a table with other columns": b"sequence,name\r\n1,Ada\r\n",
    "an empty line": b"\n",
    "zeros": bytes(100),
    "a list": b"[1,2]\n",
    "a number": b"7\n",
    "not UTF-8": b"\xff\xfe1,2\r\n",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_holds_something_else_is_refused(name: str, text: bytes) -> None:
    with pytest.raises(NotThisFormat, match=r"byte 0$"):
        resumption_of(text, name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_an_export_in_another_format_is_refused(name: str, other: str) -> None:
    if name != other:
        with pytest.raises(NotThisFormat):
            resumption_of(export(other, LOG), name)


LAST_LINES: dict[str, list[bytes]] = {
    "ndjson": [
        b"buy milk\n",
        b'{"leaf_index":"x"}\n',
        b'{"leaf_index":-1}\n',
        b'{"last_sequence":-1,"checkpoint":"x"}\n',
        b'{"leaf_index":1.5}\n',
        b'{"last_sequence":12}\n',
        b'{"last_sequence":12,"checkpoint":7}\n',
        b'{"last_sequence":12,"checkpoint":"x","filter":[]}\n',
        b'{"leaf_index":1\n',
        b'{"leaf_index":\xff}\n',
        b"[]\n",
        b"null\n",
        b"\n",
    ],
    "csv": [
        b"buy milk\r\n",
        b"\r\n",
        b",2026\r\n",
        b"-1,2026\r\n",
        b"0,2026\r\n",
        b"3,2026\r\n",
        b"1e3,2026\r\n",
        b'"13",2026\r\n',
        b"9" * 5000 + b",2026\r\n",
        "\u0661\u0663,2026\r\n".encode(),
    ],
    "cloudevents": [
        b"buy milk\n",
        b"[]\n",
        b"[{}]\n",
        b'[{"sequence":7}]\n',
        b'{"sequence":"7"}\n',
    ],
    "ocsf": [
        b'{"metadata":{"sequence":0}}\n',
        b"buy milk\n",
        b"{}\n",
        b'{"metadata":{}}\n',
        b'{"metadata":7}\n',
        b"[[]]\n",
    ],
}


@pytest.mark.parametrize(("name", "line"), [(n, one) for n in NAMES for one in LAST_LINES[n]])
def test_an_export_that_something_else_follows_is_refused_at_its_place(
    name: str, line: bytes
) -> None:
    text = head(name) + lines(name, LOG)
    with pytest.raises(NotThisFormat, match=rf"byte {len(text)}$"):
        resumption_of(text + line, name)


@pytest.mark.parametrize("name", NAMES)
def test_control_an_export_that_the_next_event_follows_is_taken(name: str) -> None:
    resumption = resumption_of(head(name) + lines(name, LOG), name)
    assert (resumption.after, resumption.reached) == (11, 12)


def test_rows_out_of_their_order_are_refused() -> None:
    text = head("csv") + lines("csv", LOG[5:]) + lines("csv", LOG[:1])
    with pytest.raises(NotThisFormat):
        resumption_of(text, "csv")


@pytest.mark.parametrize("name", NAMES)
@modest
@for_all(st.binary(max_size=30), CUTS, st.randoms(use_true_random=False))
@example(b"\0" * 30, 1.0, random.Random(0))
def test_no_bytes_whatever_end_in_anything_but_a_place_or_a_refusal(
    name: str, noise: bytes, cut: float, chosen: random.Random
) -> None:
    whole = export(name, LOG)
    kept = whole[: round(cut * len(whole))]
    place = chosen.randint(0, len(kept))
    for text in (noise, kept + noise, kept[:place] + noise + kept[place:]):
        _take_or_refuse(text, name)


def _take_or_refuse(text: bytes, name: str) -> Any:
    try:
        resumption = resumption_of(text, name)
    except NotThisFormat:
        return
    assert 0 <= resumption.size <= len(text)
    assert resumption.last in text[resumption.size :]
