"""Streamed answers: compressed where the client accepts it, with trailers."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal

import zstandard
from litestar.response.streaming import ASGIStreamingResponse

if TYPE_CHECKING:
    from litestar.types import Message, Receive, Scope, Send

Coding = Literal["zstd", "gzip", "identity"]
EXTENSION = "http.response.trailers"
_WEIGHT = re.compile(r"q=([01](?:\.\d{0,3})?)")
_GZIP = 31  # zlib's number for the gzip format; its time stays 0, so equal input gives equal output


def negotiate(accepted: str) -> Coding:
    """The best coding that an ``Accept-Encoding`` header allows (RFC 9110, 12.5.3)."""
    weights = dict(map(_weight, accepted.lower().split(",")))
    choices: list[Coding] = ["zstd", "gzip"]
    best = max(choices, key=lambda coding: weights.get(coding, 0.0))
    return best if weights.get(best, 0.0) > 0 else "identity"


def _weight(element: str) -> tuple[str, float]:
    name, _, parameter = element.partition(";")
    weight = _WEIGHT.fullmatch(parameter.replace(" ", ""))
    return name.strip(), float(weight[1]) if weight else 1.0


async def compressed(chunks: AsyncIterator[bytes], coding: Coding) -> AsyncIterator[bytes]:
    """Chunks in a coding; a client can decode each as it arrives."""
    if coding == "identity":
        async for chunk in chunks:
            yield chunk
        return
    press, end = _gzip() if coding == "gzip" else _zstd()
    async for chunk in chunks:
        yield await asyncio.to_thread(press, chunk)
    yield end()


def _gzip() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    state = zlib.compressobj(wbits=_GZIP)
    return lambda chunk: state.compress(chunk) + state.flush(zlib.Z_SYNC_FLUSH), state.flush


def _zstd() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    state = zstandard.ZstdCompressor().compressobj()
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return lambda chunk: state.compress(chunk) + state.flush(block), state.flush


class TrailingStream(ASGIStreamingResponse):
    """A stream that ends with header fields where the server can send them.

    A stream that fails ends without its last chunk, so that clients see that it is incomplete.
    """

    __slots__ = ("trailers",)

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: dict[str, str],
        trailers: dict[str, str],
    ) -> None:
        super().__init__(iterator=chunks, media_type=media_type, headers=headers, status_code=200)
        self.trailers = trailers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream to one client."""
        if EXTENSION not in (scope.get("extensions") or {}):
            await super().__call__(scope, receive, send)
            return

        async def send_with_trailers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["trailers"] = True  # type: ignore[typeddict-unknown-key]  # ASGI's
                names = ", ".join(self.trailers).encode()
                message["headers"] = [*message["headers"], (b"trailer", names)]
            await send(message)
            if message["type"] == "http.response.body" and not message["more_body"]:
                fields = [(k.encode(), v.encode()) for k, v in self.trailers.items()]
                await send({"type": EXTENSION, "headers": fields})  # type: ignore[arg-type]  # as above

        await super().__call__(scope, receive, send_with_trailers)
