"""A compressed export decodes to the same bytes, also where it was cut."""

from __future__ import annotations

import asyncio
import random
import zlib
from typing import TYPE_CHECKING, Literal

import httpx
import pytest

from app.api.streaming import compressed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
from tests.app.audit.exports import EXPORT, FORMATS, decode, read


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_compressed_export_decodes_to_the_same_bytes(
    varied: httpx.Client, form: str, coding: str
) -> None:
    plain = read(varied, format=form, until_sequence=3000)
    pressed = read(varied, coding, format=form, until_sequence=3000)
    assert plain.headers.get("content-encoding") is None
    assert pressed.headers["content-encoding"] == coding
    assert pressed.headers["content-type"] == plain.headers["content-type"]
    for answer in (plain, pressed):
        assert answer.headers["vary"] == "Authorization, Cookie, Accept-Encoding"
    assert decode(coding, pressed.body) == plain.body
    assert form == "parquet" or len(pressed.body) < len(plain.body) / 2
    if coding == "gzip":
        state = zlib.decompressobj(31)
        state.decompress(pressed.body)
        assert state.eof
        assert state.unused_data == b""


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_compressed_export_cut_anywhere_decodes_to_a_beginning(
    varied: httpx.Client, coding: str
) -> None:
    plain = read(varied, until_sequence=3000).body
    pressed = read(varied, coding, until_sequence=3000).body
    choose = random.Random(3)  # fixed, so that a failure comes again
    places = [*range(40), *(choose.randrange(len(pressed)) for _ in range(100))]
    sizes = []
    for place in sorted(places):
        found = decode(coding, pressed[:place]) if place else b""
        assert plain.startswith(found)
        sizes.append(len(found))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 10  # it can be read on the way, not at the end alone


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_was_sent_can_be_decoded_before_more_follows(
    coding: Literal["gzip", "zstd"],
) -> None:
    parts = [b"", b'{"leaf_index":0}\n', b"", b"x" * 300_000, b"\n", b"y" * 10]

    async def send() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def receive() -> list[bytes]:
        sent, found = b"", []
        async for chunk in compressed(send(), coding):
            sent += chunk
            found.append(decode(coding, sent))
        return found

    whole = [b"".join(parts[: number + 1]) for number in range(len(parts))]
    assert asyncio.run(receive()) == [*whole, whole[-1]]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("deflate, br", None),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0", None),
        ("gzip ; q = 0.000", None),
        ("gzip;Q=0.0", None),
        ("gzip;q=0.001", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd;q=0,gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("*;q=0", None),
        ("gzipped, xgzip", None),
        (",,gzip,,", "gzip"),
        ("gzip;q=x", "gzip"),
    ],
)
def test_the_coding_is_one_that_the_client_takes(
    varied: httpx.Client, accepted: str | None, coding: str | None
) -> None:
    request = varied.build_request("GET", EXPORT, params={"until_sequence": 5})
    del request.headers["accept-encoding"]
    if accepted is not None:
        request.headers["accept-encoding"] = accepted
    answer = varied.send(request, stream=True)
    body = b"".join(answer.iter_raw())
    found = answer.headers.get("content-encoding")
    assert found == coding
    assert len((decode(coding, body) if coding else body).splitlines()) == 6
