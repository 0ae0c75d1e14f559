"""How many logins may fail from one address, in memory.

An address that reached the limit is refused before a key is looked up. Keys that this process has
accepted before go on working from there: others may share the address.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from app.buckets import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.limits import LimitExceeded, Rate

POLICY = "failed-logins"  # as answers name the limit
_CLIENT_BITS = 64  # of an IPv6 address: a client usually has all addresses of a /64
_UNKNOWN = ""  # the source where there is no address


class LoginLimit:
    """Counts failed logins by address; without a rate there is no limit."""

    def __init__(self, rate: Rate | None, monotonic: Callable[[], float]) -> None:
        self._sources = Buckets[str](rate) if rate else None
        self._monotonic = monotonic

    def exceeded(self, host: str | None) -> LimitExceeded | None:
        """The error of an address from which no more logins may fail now; else None."""
        if self._sources is None:
            return None
        wait = self._sources.wait(source_of(host), self._monotonic())
        return self._sources.rate.exceeded(POLICY, wait) if wait > 0 else None

    def count(self, host: str | None) -> None:
        """Count a failed login."""
        if self._sources is not None:
            self._sources.drain(source_of(host), self._monotonic())


@lru_cache(4096)  # each request with a key asks
def source_of(host: str | None) -> str:
    """What the failed logins of an address are counted under."""
    try:
        address = ip_address(host or _UNKNOWN)
    except ValueError:  # there is no address, or a proxy named something else
        return _UNKNOWN
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or IPv6Network((int(address), _CLIENT_BITS), strict=False))
    return str(address)
