"""CloudEvents 1.0: each line is a JSON batch of one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from projections.exports.format import Coverage, Format, LineEncoder
from projections.exports.outline import Outline, outline, upcast
from projections.exports.resuming import Resumption, resume_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from events.log_search import Stored

_START = b'[{"specversion":"1.0","id":"'


def _encoder(coverage: Coverage) -> LineEncoder:
    source = coverage.origin.encode()

    def encode_page(page: Sequence[Stored]) -> bytes:
        return b"".join([_cloudevent(stored, source) for stored in page])

    return LineEncoder(encode_page)


def _cloudevent(stored: Stored, source: bytes) -> bytes:
    """A batch of one event.

    The source is the log, because two installations both have an organization 1 with an event 1.
    The extension ``sequence`` is compared as text, so it is padded.
    """
    stored = upcast(stored)
    event = outline(stored)
    subject = _subject(event)
    return (
        b'[{"specversion":"1.0","id":"%d/%d","source":"%b","type":"backstory.%b",%b"time":%b,'
        b'"datacontenttype":"application/json","sequence":"%019d","data":%b}]\n'
    ) % (
        event.organization_id,
        stored.sequence,
        source,
        stored.type.encode(),
        b'"subject":"%b",' % subject.encode() if subject else b"",
        bytes(event.occurred_at),
        stored.sequence,
        stored.body,
    )


def _subject(event: Outline) -> str | None:
    if event.phone_number is not None:
        return f"phone-numbers/{event.phone_number}"
    if event.assistant_id is not None:
        return f"assistants/{event.assistant_id}"
    if event.key_id is not None:
        return f"api-keys/{event.key_id}"
    return None if event.webhook_id is None else f"webhooks/{event.webhook_id}"


class _CloudEvent(Struct):
    sequence: str


_batches = msgspec.json.Decoder(list[_CloudEvent])


def _resume(lines: Iterable[bytes]) -> Resumption:
    return resume_lines(lines, _sequence_of)


def _sequence_of(line: bytes) -> int:
    return int(_batches.decode(line)[0].sequence)


CLOUDEVENTS = Format(
    name="cloudevents",
    media_type="application/x-ndjson",
    extension="cloudevents.ndjson",
    encoder=_encoder,
    starts=(_START,),
    resume=_resume,
)
