"""One attempt to send a webhook: an HTTP request whose answer is not trusted.

It has 15 seconds in all. No redirect is followed, no proxy of the environment is used, and no
cookie is kept. Of the answer the status and ``Retry-After`` count; at most 64 KiB of it are read.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpcore
from msgspec import Struct

from app.metrics import catalog
from app.webhooks.addresses import (
    AddressRefused,
    Pinned,
    Resolver,
    addresses_of,
    read_url,
    resolving_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 15.0
_MOST_READ = 64 * 1024
_CONNECT_SECONDS = 5.0  # for each address of a host
_LONGEST_WAIT = 24 * 3600
_DIGITS = re.compile(r"[0-9]{1,9}")
_RESOLVERS = 4


class Attempt(Struct, frozen=True, kw_only=True):
    """How an attempt ended. ``error`` None: the receiver took the message."""

    status: int | None = None
    error: str | None = None
    retry_after: int = 0  # seconds for which the receiver wants to be left alone
    milliseconds: int = 0

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == HTTPStatus.GONE


class Sender:
    """Sends messages. ``resolve`` gives the addresses of a host; the system's unless it is set."""

    def __init__(
        self,
        *,
        allow_private: bool,
        resolve: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, "resolver")
        self._resolve = resolve or resolving_in(self._threads)
        self._allow_private = allow_private
        self._given_tls = tls
        self._seconds = seconds

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    def close(self) -> None:
        """Resolve no more names."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        """POST a JSON body once."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                status, retry_after = await self._post(url, headers, body)
        except Exception as error:  # noqa: BLE001  # what a receiver does is never our failure
            attempt = Attempt(error=_explain(error, self._seconds))
        else:
            attempt = Attempt(status=status, error=_judge(status), retry_after=retry_after)
        seconds = time.monotonic() - began
        catalog.WEBHOOK_SECONDS.of().observe(seconds)
        catalog.WEBHOOK_DELIVERIES.add("failed" if attempt.error else "delivered")
        return Attempt(
            status=attempt.status,
            error=attempt.error,
            retry_after=attempt.retry_after,
            milliseconds=int(seconds * 1000),
        )

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, int]:
        target = read_url(url, allow_private=self._allow_private)
        addresses = await addresses_of(target, self._resolve, allow_private=self._allow_private)
        place = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        sent = {
            "host": target.origin.partition("://")[2],
            "content-length": str(len(body)),
            "connection": "close",
            **headers,
        }
        timeouts = {"connect": _CONNECT_SECONDS, "read": self._seconds, "write": self._seconds}
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._tls if target.scheme == "https" else None,
                network_backend=Pinned(addresses),
            ) as pool,
            pool.stream(
                "POST",
                place,
                headers=list(sent.items()),
                content=body,
                extensions={"timeout": timeouts},
            ) as answer,
        ):
            status, retry_after = answer.status, _retry_after(answer.headers)
            await _read_some(answer)
            return status, retry_after


async def _read_some(answer: httpcore.Response) -> None:
    size = 0
    async for piece in answer.aiter_stream():
        size += len(piece)
        if size > _MOST_READ:
            return


def _retry_after(headers: list[tuple[bytes, bytes]]) -> int:
    """The seconds of ``Retry-After``, a number or a date; 0 without one, at most a day."""
    text = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    said = text.decode("ascii", "replace").strip()
    if _DIGITS.fullmatch(said):
        return min(int(said), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(said)
        seconds = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return 0
    return int(min(max(seconds, 0), _LONGEST_WAIT))


def _judge(status: int) -> str | None:
    """What is wrong with a status; None for one that says that the message was taken."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"The answer was {status}; redirects are not followed"
    return f"The answer was {status}"


def _explain(error: Exception, seconds: float) -> str:
    """What went wrong, in words of our own: nothing that a receiver said."""
    match error:
        case AddressRefused() | ValueError():
            return str(error)
        case TimeoutError() | httpcore.TimeoutException():
            return f"There was no answer in {seconds:g} s"
        case httpcore.ConnectError() if "CERTIFICATE" in str(error).upper():
            return "The certificate is not valid for this host"
        case httpcore.ConnectError():
            return "The connection failed"
        case httpcore.RemoteProtocolError():
            return "The answer was not HTTP, or ended too early"
        case _:
            return f"The request failed: {type(error).__name__}"
