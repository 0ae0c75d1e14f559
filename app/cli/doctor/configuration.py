"""The configuration as it is understood, and every value that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.cli.doctor.finding import Finding, ok, wrong
from app.config import PREFIX, Config, ConfigError, read_config
from app.storage.engines import engines

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUBJECT = "configuration"
_DATABASE = "DATABASE_URL"
_SECRET = ("master_key", "audit_key")
_MASK = "********"


def read(
    environment: Mapping[str, str], database: str | None
) -> tuple[Config, list[Finding], bool]:
    """The configuration without its wrong values, the findings, and whether the database is known.

    The first wrong value hides the others, so each is left out, and the rest is read again.
    """
    rest, findings, is_known = dict(environment), list[Finding](), True
    while True:
        try:
            config = read_config(rest, database_url=database)
        except ConfigError as error:
            findings.append(wrong(_SUBJECT, str(error)))
            if error.variable == PREFIX + _DATABASE:
                database, is_known = None, False
            elif error.variable not in rest:
                raise
            rest.pop(error.variable, None)
        else:
            return config, findings or [ok(_SUBJECT, _understood(config))], is_known


def _understood(config: Config) -> str:
    """The database, and what is set otherwise than by default; no secret."""
    defaults = msgspec.structs.asdict(Config())
    settings = {"database_url": engines(config.url).name} | {
        name: _MASK if name in _SECRET else value
        for name, value in msgspec.structs.asdict(config).items()
        if value != defaults[name] and name != "database_url"
    }
    return ", ".join(f"{PREFIX}{name.upper()}={value}" for name, value in settings.items())
