"""Configuration: ``BACKSTORY_*`` variables and flags, read once into a frozen Struct."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Meta, Struct
from sqlalchemy.exc import ArgumentError

from app.limits import Rate
from app.storage import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "BACKSTORY_"
_DURATION = re.compile(r"(\d{1,6})([dhms])")
_SIZE = re.compile(r"(\d{1,6})(KIB|MIB|GIB|TIB)|0")
_BYTES = {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_LONGEST_BODY = 1 << 20
_LONGEST = timedelta(days=36500)
_ADDRESS = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
_PUBLIC_URL = r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?\Z"
_LAST_PORT = 65535
_RATE = re.compile(r"(\d{1,6})/([sm])")
_NO_RATE = ("off", "0")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_EXAMPLES = f"{sqlite.SQLITE}:///PATH or {postgresql.POSTGRESQL}://USER@HOST/NAME"
# Paths may be any bytes; all other values are UTF-8.
_FILES = frozenset(("master_key_file", "audit_key_file", "checkpoint_dir"))
_TESTS = "BACKSTORY_TEST_"  # variables of the test suite


class ConfigError(Exception):
    """A value of the configuration cannot be used; the message names it and the rule."""

    @property
    def variable(self) -> str:
        """The variable, with which each message begins."""
        return str(self).partition(":")[0]


class Config(Struct, frozen=True, kw_only=True):
    """The configuration. Each member is the variable ``BACKSTORY_<NAME>``."""

    database_url: str = "sqlite+aiosqlite:///backstory.db"
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    master_key: str | None = None
    master_key_file: str | None = None
    secret_grace: str = "30d"  # noqa: S105  # a time, not a secret
    audit_key: str | None = None
    audit_key_file: str | None = None
    checkpoint_interval: str = "1h"
    checkpoint_dir: str | None = None
    idempotency_ttl: str = "24h"
    idempotency_keys: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 100_000
    receipt_ttl: str = "400d"
    read_staleness: str = "0s"
    max_url: Annotated[int, Meta(ge=1)] = 16 * 1024
    max_header_size: Annotated[int, Meta(ge=1)] = 64 * 1024
    max_headers: Annotated[int, Meta(ge=1)] = 100
    max_connections: Annotated[int, Meta(ge=1)] = 1000
    header_timeout: str = "10s"
    body_timeout: str = "30s"
    send_timeout: str = "30s"
    idle_timeout: str = "5s"
    drain_time: str = "8s"
    body_memory: str = "64MiB"
    min_speed: Annotated[int, Meta(ge=1)] = 1024
    min_free_space: str = "64MiB"
    cache_size: str = "128MiB"
    read_timeout: str = "10s"
    rate_limit: str = "20000/s"
    organization_rate_limit: str = "40000/s"
    failed_login_limit: str = "600/m"
    export_limit: Annotated[int, Meta(ge=1, le=1000)] = 4
    stream_limit: Annotated[int, Meta(ge=1, le=100_000)] = 100
    organization_stream_limit: Annotated[int, Meta(ge=1, le=100_000)] = 200
    stream_heartbeat: str = "15s"
    trusted_proxies: str = ""
    metrics_bind: str = ""
    webhook_private: Literal["refuse", "allow"] = "refuse"
    webhook_concurrency: Annotated[int, Meta(ge=1, le=1000)] = 16
    public_url: Annotated[str, Meta(pattern=_PUBLIC_URL)] = ""

    @property
    def grace(self) -> timedelta:
        """How long the secrets of a deleted assistant are kept."""
        return _duration("SECRET_GRACE", self.secret_grace)

    @property
    def between_checkpoints(self) -> timedelta:
        """How often the tree of a log that has grown is signed, and the checkpoint stored."""
        return _duration("CHECKPOINT_INTERVAL", self.checkpoint_interval)

    @property
    def idempotency_lifetime(self) -> timedelta:
        """How long the response to a request with an ``Idempotency-Key`` is stored."""
        return _duration("IDEMPOTENCY_TTL", self.idempotency_ttl)

    @property
    def receipt_lifetime(self) -> timedelta:
        """How long the receipt of a call is kept."""
        return _duration("RECEIPT_TTL", self.receipt_ttl)

    @property
    def staleness(self) -> timedelta:
        """How old a cached read may be when other processes write, too."""
        return _duration("READ_STALENESS", self.read_staleness)

    @property
    def header_seconds(self) -> int:
        """How long the head of a request may take."""
        return _seconds("HEADER_TIMEOUT", self.header_timeout)

    @property
    def body_seconds(self) -> int:
        """The period over which the speed of a request's body is measured."""
        return _seconds("BODY_TIMEOUT", self.body_timeout)

    @property
    def send_seconds(self) -> int:
        """The period over which the speed of a response's reader is measured."""
        return _seconds("SEND_TIMEOUT", self.send_timeout)

    @property
    def idle_seconds(self) -> int:
        """How long a connection is kept without a request."""
        return _seconds("IDLE_TIMEOUT", self.idle_timeout)

    @property
    def drain_seconds(self) -> int:
        """How long running requests may still take once the server stops."""
        return _seconds("DRAIN_TIME", self.drain_time)

    @property
    def heartbeat_seconds(self) -> int:
        """How often a stream says that it is alive, and its key is checked again."""
        return _seconds("STREAM_HEARTBEAT", self.stream_heartbeat)

    @property
    def least_free_space(self) -> int:
        """The bytes of the disk that must be free for a write to begin; 0 for no limit."""
        return _size("MIN_FREE_SPACE", self.min_free_space)

    @property
    def cache_bytes(self) -> int:
        """How much memory all caches of the process may take together."""
        return _size("CACHE_SIZE", self.cache_size)

    @property
    def body_bytes(self) -> int:
        """How much memory the bodies of requests may take together, beyond 64 KiB of each."""
        return _size("BODY_MEMORY", self.body_memory)

    @property
    def longest_read(self) -> timedelta:
        """How long a read of a request may take; exports may take longer."""
        return _duration("READ_TIMEOUT", self.read_timeout)

    @property
    def key_rate(self) -> Rate | None:
        """How often one API key may send a request; None without a limit."""
        return _rate("RATE_LIMIT", self.rate_limit)

    @property
    def organization_rate(self) -> Rate | None:
        """As ``key_rate``, for all keys of an organization together."""
        return _rate("ORGANIZATION_RATE_LIMIT", self.organization_rate_limit)

    @property
    def failed_login_rate(self) -> Rate | None:
        """How often a login may fail from one address; None without a limit."""
        return _rate("FAILED_LOGIN_LIMIT", self.failed_login_limit)

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks of proxies whose ``X-Forwarded-*`` headers are believed."""
        return self.trusted_proxies.replace(",", " ").split()

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """The host and port that serve the metrics; None if none does."""
        return _address("METRICS_BIND", self.metrics_bind) if self.metrics_bind else None

    @property
    def url(self) -> sa.URL:
        """The URL of the database."""
        return sa.make_url(self.database_url)


def as_unicode(text: str) -> str | None:
    """A text of the environment or the command line, decoded as UTF-8; None if it is not UTF-8.

    Python decodes both by the locale, and turns what it cannot decode into surrogates.
    """
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        return None


def read_config(environment: Mapping[str, str], **flags: str | int | None) -> Config:
    """The configuration of this process; a flag takes precedence over its variable.

    Raises ``ConfigError``. Its message never repeats a value, which may be a key.
    """
    members: dict[str, str | int] = {
        name: environment[PREFIX + name.upper()]
        for name in Config.__struct_fields__
        if environment.get(PREFIX + name.upper())
    }
    members |= {name: value for name, value in flags.items() if value is not None}
    known = {PREFIX + name.upper() for name in Config.__struct_fields__}
    unknown = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in known and not name.startswith(_TESTS)
    )
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such setting")
    for name in members.keys() - _FILES:
        if isinstance(text := members[name], str):
            members[name] = _readable(name, text)
    for name in ("log_format", "log_level", "webhook_private"):
        if isinstance(value := members.get(name), str):
            members[name] = value.lower()
    try:
        config = msgspec.convert(members, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error))) from None
    _check_host(config.host)
    _check_database_url(config.database_url)
    _ = config.grace, config.between_checkpoints, config.idempotency_lifetime, config.staleness
    _ = config.header_seconds, config.body_seconds, config.send_seconds, config.idle_seconds
    _ = config.drain_seconds, config.heartbeat_seconds, config.receipt_lifetime
    _ = config.least_free_space, config.cache_bytes
    if config.body_bytes < _LONGEST_BODY:
        raise ConfigError(f"{PREFIX}BODY_MEMORY: expected at least 1MiB, the size of one body")
    if not config.longest_read:
        raise ConfigError(f"{PREFIX}READ_TIMEOUT: expected more than 0s")
    _ = config.key_rate, config.organization_rate, config.failed_login_rate
    _check_proxies(config.proxies)
    _check_metrics(config.metrics_address)
    return config


def as_variables(config: Config) -> dict[str, str]:
    """The variables from which ``read_config`` reads this configuration."""
    members = msgspec.structs.asdict(config).items()
    return {PREFIX + name.upper(): str(value) for name, value in members if value is not None}


def _duration(name: str, text: str) -> timedelta:
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigError(f"{PREFIX}{name}: expected a time such as 30d, 12h, 15m or 0s")
    length = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if length > _LONGEST:
        raise ConfigError(f"{PREFIX}{name}: expected no more than {_LONGEST.days}d")
    return length


def _seconds(name: str, text: str) -> int:
    if not (length := _duration(name, text)):
        raise ConfigError(f"{PREFIX}{name}: expected a time of at least 1s")
    return int(length.total_seconds())


def _size(name: str, text: str) -> int:
    match = _SIZE.fullmatch(text.strip().upper())
    if match is None:
        raise ConfigError(f"{PREFIX}{name}: expected a size such as 64MiB, 2GiB or 0")
    return int(match[1]) * _BYTES[match[2]] if match[1] else 0


def _rate(name: str, text: str) -> Rate | None:
    if (text := text.strip().lower()) in _NO_RATE:
        return None
    match = _RATE.fullmatch(text)
    if match is None or not int(match[1]):
        raise ConfigError(f"{PREFIX}{name}: expected a rate such as 1000/s or 60/m, or off")
    return Rate(count=int(match[1]), seconds=60 if match[2] == "m" else 1)


def _address(name: str, text: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match[2]) > _LAST_PORT:
        raise ConfigError(
            f"{PREFIX}{name}: expected a host and a port, such as 127.0.0.1:9464 or [::1]:9464"
        )
    return match[1].strip("[]"), int(match[2])


def _check_metrics(address: tuple[str, int] | None) -> None:
    if address is not None and find_spec("prometheus_client") is None:
        raise ConfigError(
            f"{PREFIX}METRICS_BIND: to serve metrics, install backstory with its extra [metrics]"
        )


def _check_proxies(proxies: list[str]) -> None:
    for proxy in proxies:
        try:
            ip_network(proxy)
        except ValueError:
            raise ConfigError(
                f"{PREFIX}TRUSTED_PROXIES: expected addresses or networks, such as"
                " 10.0.0.7 or 10.0.0.0/8, separated by commas"
            ) from None


def _readable(name: str, value: str) -> str:
    if (text := as_unicode(value)) is None:
        raise ConfigError(f"{PREFIX}{name.upper()}: is not UTF-8")
    return text


def _check_host(text: str) -> None:
    try:
        is_name = bool(text.encode("idna").strip())
    except UnicodeError:  # too long, or not a name
        is_name = False
    if not is_name:
        raise ConfigError(f"{PREFIX}HOST: expected an address or a name to listen on")


def _check_database_url(text: str) -> None:
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):  # the second for a port that is not a number
        url = None
    if url is None or "%00" in text:  # NUL, which neither files nor servers accept
        raise ConfigError(f"{PREFIX}DATABASE_URL: not a database URL, such as {_EXAMPLES}")
    match url.drivername:
        case sqlite.SQLITE if (
            url.database == ":memory:"
            or not Path(url.database or "").name
            or any((url.query, url.host, url.username))
        ):
            raise ConfigError(
                f"{PREFIX}DATABASE_URL: names no file, such as {sqlite.SQLITE}:///PATH"
            )
        case postgresql.POSTGRESQL if not url.database:
            raise ConfigError(f"{PREFIX}DATABASE_URL: names no database, such as {_EXAMPLES}")
        case postgresql.POSTGRESQL if _pool_mode(url) not in postgresql.POOL_MODES:
            modes = " or ".join(postgresql.POOL_MODES)
            raise ConfigError(
                f"{PREFIX}DATABASE_URL: expected {postgresql.POOL_MODE} to be {modes}"
            )
        case postgresql.POSTGRESQL if find_spec("asyncpg") is None or find_spec("psycopg") is None:
            raise ConfigError(
                f"{PREFIX}DATABASE_URL: for PostgreSQL, install backstory with its extra [postgres]"
            )
        case sqlite.SQLITE | postgresql.POSTGRESQL:
            return
        case other:
            raise ConfigError(f"{PREFIX}DATABASE_URL: '{other}' is not supported; use {_EXAMPLES}")


def _pool_mode(url: sa.URL) -> object:
    return url.query.get(postgresql.POOL_MODE, postgresql.SESSION)


def _explain(message: str) -> str:
    rule, _, place = message.partition(" - at `$.")
    name = PREFIX + place.rstrip("`").upper()
    choices = {
        "LOG_FORMAT": "json or console",
        "LOG_LEVEL": "debug, info, warning or error",
        "PUBLIC_URL": "a URL such as https://backstory.example",
        "WEBHOOK_PRIVATE": "refuse or allow",
        "WEBHOOK_CONCURRENCY": "a number from 1 to 1000",
        "PORT": "a number from 0 to 65535",
        "IDEMPOTENCY_KEYS": "a number from 1 to 2147483647",
        "EXPORT_LIMIT": "a number from 1 to 1000",
        "STREAM_LIMIT": "a number from 1 to 100000",
        "ORGANIZATION_STREAM_LIMIT": "a number from 1 to 100000",
    }
    expected = choices.get(name.removeprefix(PREFIX))
    return f"{name}: expected {expected}" if expected else f"{name}: {rule[0].lower()}{rule[1:]}"
