from __future__ import annotations

import json
from hashlib import sha256

from projections.exports.filter import ExportFilter
from projections.exports.format import Coverage
from projections.exports.ndjson import NDJSON
from tests.projections.exports.sample_log import LOG, ORIGIN, export


def test_a_line_holds_the_bytes_that_were_hashed() -> None:
    *event_lines, _ = export("ndjson", LOG).splitlines()
    for line, event in zip(event_lines, LOG, strict=True):
        read = json.loads(line)
        before = b'{"leaf_index":%d,"leaf_hash":"%b","event":' % (
            event.sequence - 1,
            read["leaf_hash"].encode(),
        )
        assert line == before + event.body + b"}"
        body = line.removeprefix(before).removesuffix(b"}")
        assert read["leaf_hash"] == sha256(b"\0" + body).hexdigest()


CHECKPOINT = "backstory/1\n12\nAAAA\n\n— backstory/1 é\n"


def closing_line(checkpoint: str, event_filter: ExportFilter) -> bytes:
    coverage = Coverage(
        origin=ORIGIN, last_sequence=12, filter=event_filter.as_dict(), checkpoint=checkpoint
    )
    return NDJSON.encoder(coverage).tail()


def test_the_closing_line_says_how_far_the_export_goes() -> None:
    assert (
        closing_line(CHECKPOINT, ExportFilter())
        == (
            '{"last_sequence":12,"checkpoint":"backstory/1\\n12\\nAAAA\\n\\n— backstory/1 é\\n"}\n'
        ).encode()
    )


def test_the_closing_line_of_a_filtered_export_holds_the_filter() -> None:
    assert (
        closing_line("note", ExportFilter(assistant_id=4, actor="Émile"))
        == (
            '{"last_sequence":12,"filter":{"assistant_id":4,"actor":"Émile"},"checkpoint":"note"}\n'
        ).encode()
    )
