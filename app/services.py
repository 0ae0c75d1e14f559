"""The services of a process: the database, the vault, the write queue and what uses them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from app.accounts.authenticator import Authenticator
from app.accounts.concurrency import EXPORTS, ConcurrencyLimit, StreamLimits
from app.accounts.failed_logins import FailedLogins
from app.accounts.login_limit import LoginLimit
from app.accounts.logins import Logins
from app.accounts.rate_limits import RateLimits
from app.accounts.sessions import Sessions
from app.assistants.view_cache import ViewCache
from app.audit import signing
from app.audit.following import Followers
from app.audit.signing import Signer
from app.config import Config
from app.metrics import catalog
from app.storage import citus
from app.storage.database import Database
from app.storage.engines import engines
from app.storage.schema import prepare
from app.transactions.clock import ForwardClock, Witness
from app.transactions.idempotency import Idempotency
from app.transactions.state_cache import StateCache
from app.transactions.write_queue import WriteQueue
from app.vault.keys import Vault, open_vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import sqlalchemy as sa

_START_SECONDS = 60
# How the caches share ``BACKSTORY_CACHE_SIZE``, in sixteenths.
_VIEWS, _LISTS, _STATES, _KEYS = 8, 3, 4, 1
_log = structlog.get_logger(__name__)


class Services(Struct, frozen=True):
    """What the application runs on."""

    database: Database
    vault: Vault
    writer: WriteQueue
    idempotency: Idempotency
    authenticator: Authenticator
    failed_logins: FailedLogins
    logins: Logins
    rate_limits: RateLimits
    exports: ConcurrencyLimit[int]  # by organization
    streams: StreamLimits
    followers: Followers
    views: ViewCache
    states: StateCache
    signer: Signer
    sessions: Sessions
    clock: Callable[[], datetime]
    heartbeat_seconds: int  # of streams
    allows_private_webhooks: bool


def utc_now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_services(
    config: Config,
    clock: Callable[[], datetime] = utc_now,
    command: str = "backstory serve",
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Services]:
    """Lock the database, migrate it and open everything that works on it.

    Raises ``DatabaseHeld`` or ``MasterKeyError`` before anything is written.
    """
    with engines(config.url).hold(command, make=True):
        is_distributed = await _prepare(config.url)
        vault = open_vault(config)
        signer = signing.open_signer(config)
        database = Database(config.url, config.least_free_space, config.longest_read)
        sixteenth = config.cache_bytes // 16
        views = ViewCache(
            database,
            is_alone=database.is_embedded,
            staleness=config.staleness,
            most_bytes=_VIEWS * sixteenth,
            most_bytes_of_lists=_LISTS * sixteenth,
        )
        states = StateCache(_STATES * sixteenth)
        followers = Followers(database)
        witness = Witness(monotonic)
        writer = WriteQueue(
            database,
            vault,
            clock,
            views,
            witness,
            states,
            followers,
            is_distributed=is_distributed,
        )
        authenticator = Authenticator(
            database, vault, clock, config.staleness, most_bytes=_KEYS * sixteenth
        )
        failed_logins = FailedLogins(writer, monotonic)
        logins = Logins(
            authenticator=authenticator,
            failed=failed_logins,
            limit=LoginLimit(config.failed_login_rate, monotonic),
        )
        catalog.QUEUE_LENGTH.follow(lambda: writer.length)
        writer.start()
        try:
            yield Services(
                database,
                vault,
                writer,
                Idempotency(writer, clock, config.idempotency_lifetime, config.idempotency_keys),
                authenticator,
                failed_logins,
                logins,
                RateLimits(config.key_rate, config.organization_rate, monotonic),
                ConcurrencyLimit(EXPORTS, config.export_limit),
                StreamLimits(config.stream_limit, config.organization_stream_limit),
                followers,
                views,
                states,
                signer,
                Sessions(vault.derive_keys("console sessions"), ForwardClock(clock, monotonic)),
                clock,
                config.heartbeat_seconds,
                config.webhook_private == "allow",
            )
        finally:
            followers.close()
            await failed_logins.drain()
            await writer.drain()
            await database.close()


async def _prepare(url: sa.URL) -> bool:
    """Run ``prepare``, and return whether the tables are distributed over several nodes.

    Waits up to a minute for a database server that is down.
    """
    for _ in range(_START_SECONDS):
        try:
            return await asyncio.to_thread(_look, url)
        except Exception as error:
            if not engines(url).is_unavailable(error):
                raise
            _log.warning("database_unavailable", database=engines(url).name)
            await asyncio.sleep(1)
    return await asyncio.to_thread(_look, url)


def _look(url: sa.URL) -> bool:
    prepare(url)
    return citus.is_distributed(url)
