"""Whose an API key is, cached; and the counts of its uses.

A key that was looked up is cached, so that its next request needs no query. Revocation takes
effect at once: it invalidates the key before it is answered. Other processes may revoke keys too
on a server; there a cached key is read again once it is older than the allowed staleness.
"""

from __future__ import annotations

import hashlib
import secrets as entropy
import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from app.accounts import api_keys, principals, tokens
from app.accounts.principals import Principal, RejectedKey
from app.lru import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.accounts.api_keys import ApiKey
    from app.storage.database import Database
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue
    from app.vault.keys import Vault

_MOST_KNOWN = 10_000  # keys that are cached
_SAVED_AT_ONCE = 100  # keys whose usage is written by one statement, so that writes get between


class _Known(Struct):
    principal: Principal
    read_at: float  # ``time.monotonic``, which is never set back
    key: tuple[int, int]  # the organization's id and the key's


class _Uses(Struct):
    """The uses of a key that are not saved yet."""

    count: int
    last: datetime


class Authenticator:
    """Finds the principal of a token, and counts the uses of its key."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        staleness: timedelta = timedelta(0),
        most_known: int = _MOST_KNOWN,
    ) -> None:
        self._database = database
        self._staleness = staleness
        self._vault = vault
        self._clock = clock
        self._known: LRUCache[bytes, _Known] = LRUCache(most_known)
        self._unsaved: dict[tuple[int, int], _Uses] = {}
        self._salt = entropy.token_bytes(32)  # no token is kept in memory
        self._invalidations = 0

    async def principal(self, token: str) -> Principal | RejectedKey | None:
        """The principal of a token; None if it names no existing organization."""
        digest = hashlib.blake2b(token.encode(), key=self._salt, digest_size=32).digest()
        known = self._known.get(digest)
        if known is None or self._is_stale(known):
            looked_up = await self._look_up(token, digest)
            if not isinstance(looked_up, _Known):
                return looked_up
            known = looked_up
        self._count(known.key)
        return known.principal

    def _count(self, key: tuple[int, int]) -> None:
        uses = self._unsaved.get(key)
        if uses is None:
            self._unsaved[key] = _Uses(1, self._clock())
        else:
            uses.count += 1
            uses.last = self._clock()

    def _is_stale(self, known: _Known) -> bool:
        if self._database.is_embedded:
            return False
        return time.monotonic() - known.read_at >= self._staleness.total_seconds()

    async def _look_up(self, token: str, digest: bytes) -> _Known | RejectedKey | None:
        if tokens.organization_of(token) is None:
            return None
        invalidations, began = self._invalidations, time.monotonic()
        principal = await self._database.read(principals.authenticate, self._vault, token)
        if not isinstance(principal, Principal):
            return principal
        known = _Known(principal, began, (principal.organization_id, principal.key_id))
        # If a key was invalidated meanwhile, this may be that key: answer, but don't cache.
        if invalidations == self._invalidations:
            self._known.put(digest, known, 1)
        return known

    def invalidate(self, organization_id: int, key_id: int) -> None:
        """Read a key again at its next use, since it was changed or revoked."""
        self._invalidations += 1
        for digest in list(self._known):
            known = self._known.peek(digest)
            if known is not None and known.key == (organization_id, key_id):
                self._known.drop(digest)

    async def save_usage(self, writer: WriteQueue) -> None:
        """Save the uses that were counted since the last time, some keys at a time."""
        keys = sorted(self._unsaved)  # every process locks the rows in this order
        for start in range(0, len(keys), _SAVED_AT_ONCE):
            portion = keys[start : start + _SAVED_AT_ONCE]
            counted = {key: structs.replace(self._unsaved[key]) for key in portion}
            usage = [
                api_keys.Usage(
                    organization_id=organization_id, key_id=key_id, uses=uses.count, last=uses.last
                )
                for (organization_id, key_id), uses in counted.items()
            ]
            await writer.write(None, partial(_add_usage, usage))
            for key, uses in counted.items():
                self._subtract(key, uses.count)

    def _subtract(self, key: tuple[int, int], count: int) -> None:
        """Keep what was counted while the rest was saved, for the next time."""
        uses = self._unsaved[key]
        uses.count -= count
        if uses.count == 0:
            del self._unsaved[key]

    def with_usage(self, organization_id: int, key: ApiKey) -> ApiKey:
        """A key with the uses that are not saved yet."""
        uses = self._unsaved.get((organization_id, key.id))
        if uses is None:
            return key
        return structs.replace(
            key, usage_count=key.usage_count + uses.count, last_used_at=uses.last
        )


def _add_usage(usage: list[api_keys.Usage], unit: UnitOfWork) -> None:
    unit.write(api_keys.add_usage, usage)
