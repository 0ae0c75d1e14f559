"""Whose an API key is, cached; and the counts of its uses.

A key that was looked up is cached, so that its next request needs no query. Revocation takes
effect at once: it invalidates the key before it is answered. Other processes may revoke keys too
on a server; there a cached key is read again once it is older than the allowed staleness.
"""

from __future__ import annotations

import hashlib
import secrets as entropy
import sys
import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from app.accounts import api_keys, principals, tokens
from app.accounts.principals import KEY, KEY_AND_STAMPS, Principal, RejectedKey, Seen
from app.lru import LRUCache
from app.sharing import SharedReads
from app.vault.sealing import hash_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.accounts.api_keys import ApiKey
    from app.storage.database import Database
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue
    from app.vault.keys import Key, Vault

Caller = Principal | RejectedKey | None
MOST_BYTES = 8 * 1024 * 1024  # some thousands of keys
_OVERHEAD = 800  # bytes that a cached key takes beside its texts, measured
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
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._database = database
        self._staleness = staleness
        self._vault = vault
        self._clock = clock
        self._known: LRUCache[bytes, _Known] = LRUCache(most_bytes)
        self._unsaved: dict[tuple[int, int], _Uses] = {}
        self._salt = entropy.token_bytes(32)  # no token is kept in memory
        self._invalidations = 0
        self._reads = SharedReads(self._look_up)  # by token

    @property
    def size(self) -> int:
        """Bytes in memory: the cached keys."""
        return self._known.weight

    async def principal(self, token: str) -> Caller:
        """The principal of a token; None if it names no existing organization."""
        return (await self.check(token))[0]

    async def check(
        self, token: str, assistant_id: int | None = None
    ) -> tuple[Caller, Seen | None]:
        """The principal of a token, and what was read with its key if it was read now.

        ``assistant_id`` is the assistant that the request will read, if that is known.
        """
        digest, seen = self._digest(token), None
        known = self._known.get(digest)
        if known is None or self._is_stale(known):
            looked_up, seen = await self._reads.read(token, assistant_id)
            if not isinstance(looked_up, _Known):
                self._known.drop(digest)
                return looked_up, seen
            known = looked_up
        self._count(known.key)
        return known.principal, seen

    def knows(self, token: str) -> bool:
        """Whether a token is that of a cached key, so that it was valid when it was last read."""
        return self._known.peek(self._digest(token)) is not None

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._salt, digest_size=32).digest()

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

    async def _look_up(
        self, token: str, assistant_ids: set[int | None]
    ) -> tuple[_Known | RejectedKey | None, Seen | None]:
        organization_id = tokens.organization_of(token)
        if organization_id is None or (pepper := await self._pepper(organization_id)) is None:
            return None, None
        invalidations, began = self._invalidations, time.monotonic()
        digest = hash_token(pepper, token)
        ids = sorted(id_ for id_ in assistant_ids if id_ is not None)
        rows = await self._read(organization_id, digest, ids)
        caller = principals.caller_of(rows, organization_id, digest)
        if not isinstance(caller, Principal):
            return caller, None
        known = _Known(caller, began, (organization_id, caller.key_id))
        # If a key was invalidated meanwhile, this may be that key: answer, but don't cache.
        if invalidations == self._invalidations:
            self._known.put(self._digest(token), known, _weight_of(caller))
        return known, principals.seen_beside(rows, began)

    async def _pepper(self, organization_id: int) -> Key | None:
        """The key that hashes an organization's API keys; it never changes."""
        known = self._vault.known_pepper(organization_id)
        return known or await self._database.read(self._vault.pepper, organization_id)

    async def _read(
        self, organization_id: int, digest: bytes, assistant_ids: list[int]
    ) -> Sequence[Any]:
        key = {"organization_id": organization_id, "digest": digest}
        if self._database.is_embedded or not assistant_ids:  # a file's stamps need no comparison
            return await self._database.glance(KEY, **key)
        return await self._database.glance(KEY_AND_STAMPS, **key, assistant_ids=assistant_ids)

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
            await writer.write(None, partial(_add_usage, usage), is_background=True)
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


def _weight_of(principal: Principal) -> int:
    texts = (principal.organization_name, principal.key_name, principal.user_email or "")
    return _OVERHEAD + sum(map(sys.getsizeof, texts))


def _add_usage(usage: list[api_keys.Usage], unit: UnitOfWork) -> None:
    unit.write(api_keys.add_usage, usage)
