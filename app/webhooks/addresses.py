"""Where a webhook may be sent: the rules for URLs, and the guard of the addresses behind them.

A name is resolved once. If one of its addresses is not public, nothing is sent; otherwise the
connection goes to one of these very addresses, so that a second answer of the name server, made
for this, leads nowhere. Only addresses count: whatever a host looks like, it is resolved first.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import httpcore
from msgspec import Struct

from events.secrets.masks import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Executor

Resolver = Callable[[str, int], Awaitable["Sequence[str]"]]

MAX_URL = 2000
_URL = re.compile(
    r"(https?)://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
    r"([/?][!$-;=?-\[\]_a-z|~]*)?"
)
_CREDENTIALS = re.compile(r"[A-Za-z]+://[^/?#]*@")
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
_GLOBAL = ip_network("2000::/3")
# Beside what Python calls private: what leads elsewhere, and metadata at a public address.
_REFUSED = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's metadata and DNS
            "192.0.0.0/24",
            "192.88.99.0/24",
            "2001::/23",  # Teredo and other protocols
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address inside
            "3fff::/20",
        ),
    )
)


class AddressRefused(Exception):
    """A name leads to an address that is not public, or to none."""


class Target(Struct, frozen=True, kw_only=True):
    """A URL, taken apart."""

    scheme: str
    host: str  # without brackets
    port: int
    path: str  # with the query

    @property
    def origin(self) -> str:
        """The scheme, the host and a port that is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def read_url(text: str, *, allow_private: bool) -> Target:
    """A URL to which webhooks may be sent; raises ``ValueError`` with the rule that it breaks."""
    if len(text) > MAX_URL:
        raise ValueError(f"Input should have at most {MAX_URL} characters")
    if _CREDENTIALS.match(text):
        raise ValueError("Input should hold no user name and no password")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("Input should be a URL in ASCII, without a fragment: https://HOST/PATH")
    scheme, host, port, path = match.groups()
    if scheme != "https" and not allow_private:
        raise ValueError("Input should begin with https://")
    target = Target(
        scheme=scheme,
        host=host.strip("[]"),
        port=int(port or _PORTS[scheme]),
        path=path if path and path.startswith("/") else f"/{path or ''}",
    )
    if not 0 < target.port <= _LAST_PORT:
        raise ValueError("Input should have a port from 1 to 65535")
    literal = _literal(target.host)
    if literal is not None and not (allow_private or is_public(literal)):
        raise ValueError("Input should be a public address")
    return target


def shown(target: Target, *, is_secret: bool) -> str:
    """A URL as answers and events show it: of one that ``is_secret``, the host alone."""
    if is_secret:
        return f"{target.origin}/{MASK}"
    path, question, _ = target.path.partition("?")
    return f"{target.origin}{path}{f'?{MASK}' if question else ''}"


def _literal(host: str) -> str | None:
    """The address that a host is, in any of its spellings; None for a name."""
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # also 2130706433, 0x7f.1 and 127.1
    except OSError:
        return None


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet's hosts."""
    try:
        address = ip_address(text)
    except ValueError:  # one with a zone, such as fe80::1%eth0
        return False
    return _is_global(address) and not any(address in network for network in _REFUSED)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    # Mapped, NAT64, site-local and unique local addresses are all outside of 2000::/3.
    if isinstance(address, IPv6Address) and address not in _GLOBAL:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def resolving_in(threads: Executor) -> Resolver:
    """The system's resolver, in threads of its own: a slow name server holds up nothing else."""

    async def resolve(host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(threads, _look_up, host, port)
        return list(dict.fromkeys(str(one[4][0]) for one in found))

    return resolve


def _look_up(host: str, port: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def addresses_of(target: Target, resolve: Resolver, *, allow_private: bool) -> Sequence[str]:
    """The addresses of a host; raises ``AddressRefused`` unless all of them are public."""
    try:
        found = await resolve(target.host, target.port)
    except (OSError, UnicodeError):
        raise AddressRefused("The host was not found") from None
    if not found:
        raise AddressRefused("The host was not found")
    if not allow_private and not all(map(is_public, found)):
        raise AddressRefused("The host's address is not public")
    return found


class Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, whatever the host of the URL is.

    TLS and the ``Host`` header still have the host's name.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  # it was resolved
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the addresses that takes one."""
        *others, last = self._addresses
        for address in others:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(last, port, timeout, local_address, socket_options)
