"""The endpoints of an organization: make, change, delete; rotate the secret. Each is an event.

The URL and the secrets are sealed in the endpoint's row. Answers and events show the URL without
its query; of ``slack`` and ``teams`` only the host, since there whoever has the URL may write.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Meta, Struct, UnsetType

from app.storage.tables import MAX_ID, webhook_deliveries, webhooks
from app.vault.sealing import open_webhook, seal_webhook
from app.webhooks import addresses
from app.webhooks.messages import Format, make_secret
from events import pointers
from events.bodies.reasons import clean_reason
from events.changed import WebhookChanged, WebhookCreated, WebhookDeleted, WebhookDisabled
from events.errors import DomainError, FieldError, InvalidSettings
from events.pointers import POINTER
from events.setting_types import Moment
from events.tables import from_micros, rows_of, to_micros
from projections.event_types import EVENT_TYPES

if TYPE_CHECKING:
    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from app.vault.keys import Keys
    from events.pointers import Tree

MOST = 100  # endpoints of an organization
_BOTH = timedelta(days=1)  # for which a rotated secret still signs, too
_RECORDED = ("url", "format", "description", "event_types", "assistant_ids", "paths", "enabled")
_LISTS = ("event_types", "assistant_ids", "paths")
_TYPES = tuple(kind.event_type for kind in EVENT_TYPES)

# The rules are those of ``addresses.read_url``; this describes their form.
Url = Annotated[
    str,
    Meta(
        extra_json_schema={"format": "uri", "pattern": "^https://", "maxLength": addresses.MAX_URL}
    ),
]
Description = Annotated[str, Meta(max_length=200)]
EventTypes = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"enum": list(_TYPES)})]], Meta(max_length=100)
]
AssistantIds = Annotated[list[Annotated[int, Meta(ge=1, le=MAX_ID)]], Meta(max_length=200)]
Paths = Annotated[
    list[Annotated[str, Meta(pattern=POINTER, max_length=1000)]], Meta(max_length=200)
]


class WebhookNotFound(DomainError):
    """The caller's organization has no such endpoint."""

    def __init__(self, webhook_id: int) -> None:
        super().__init__(webhook_id)
        self.webhook_id = webhook_id


class TooManyWebhooks(DomainError):
    """The organization has as many endpoints as it may have."""


class Webhook(Struct, frozen=True, kw_only=True):
    """An endpoint as the API shows it, and how far it has come.

    Empty lists choose everything. ``delivered`` is the sequence up to which the endpoint has every
    event that it chose; the next one failed ``failures`` times, and is sent again at
    ``next_attempt_at``.
    """

    id: int
    url: str
    format: Format
    description: str | None = None
    event_types: list[str]
    assistant_ids: list[int]
    paths: list[str]
    enabled: bool
    delivered: int
    failures: int
    next_attempt_at: Moment | None = None
    created_at: Moment
    updated_at: Moment


class Confidential(Struct, frozen=True, kw_only=True):
    """What is sealed of an endpoint."""

    url: str
    secret: str
    former: str | None = None
    former_until: int = 0  # microseconds since 1970

    def keys(self, now: datetime) -> list[str]:
        """The secrets that sign, the newest first."""
        is_both = self.former is not None and to_micros(now) < self.former_until
        return [self.secret, self.former] if is_both and self.former else [self.secret]


class Change(Struct, frozen=True, kw_only=True):
    """The members of an endpoint to set; UNSET ones are kept, or get their defaults."""

    url: str | UnsetType = UNSET
    format: Format | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    event_types: list[str] | UnsetType = UNSET
    assistant_ids: list[int] | UnsetType = UNSET
    paths: list[str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


# -- read


def list_webhooks(connection: sa.Connection, organization_id: int) -> list[Webhook]:
    """All endpoints of an organization, oldest first."""
    query = rows_of(webhooks, organization_id).order_by(webhooks.c.webhook_id)
    return [_shown(row) for row in connection.execute(query)]


def find_webhook(connection: sa.Connection, organization_id: int, webhook_id: int) -> Webhook:
    """One endpoint; raises ``WebhookNotFound``."""
    return _shown(find_row(connection, organization_id, webhook_id))


def find_row(connection: sa.Connection, organization_id: int, webhook_id: int) -> sa.Row[Any]:
    """An endpoint's row; raises ``WebhookNotFound``."""
    query = rows_of(webhooks, organization_id).where(webhooks.c.webhook_id == webhook_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise WebhookNotFound(webhook_id)
    return row


def _shown(row: sa.Row[Any]) -> Webhook:
    waits = row.enabled and row.failures
    return Webhook(
        id=row.webhook_id,
        url=row.url,
        format=row.format,
        description=row.description,
        **{name: msgspec.json.decode(getattr(row, name)) for name in _LISTS},
        enabled=row.enabled,
        delivered=row.cursor,
        failures=row.failures,
        next_attempt_at=from_micros(row.due_at) if waits else None,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )


def unsealed(keys: Keys, row: sa.Row[Any]) -> Confidential:
    """The URL and the secrets of an endpoint; raises ``SecretUnreadable``."""
    text = open_webhook(keys, row.sealed, row.organization_id, row.webhook_id)
    return msgspec.json.decode(text, type=Confidential)


def _sealed(keys: Keys, organization_id: int, webhook_id: int, secret: Confidential) -> bytes:
    return seal_webhook(keys, msgspec.json.encode(secret), organization_id, webhook_id)


# -- change


def create(
    unit: UnitOfWork, caller: Caller, change: Change, *, allow_private: bool
) -> tuple[Webhook, str]:
    """Make an endpoint, which receives the events from now on; returns it with its secret.

    Raises ``InvalidSettings`` and ``TooManyWebhooks``.
    """
    organization_id = caller.organization_id
    unit.log_head(organization_id)
    existing = unit.read(list_webhooks, organization_id)
    if len(existing) >= MOST:
        raise TooManyWebhooks(organization_id)
    number = unit.read(_last_id, organization_id) + 1
    members = _members(change)
    members = {name: [] for name in _LISTS} | {"description": None, "format": "standard"} | members
    members |= {"enabled": members.get("enabled", True)}
    url = members["url"]
    members["url"] = _shown_url(url, members["format"], allow_private=allow_private)
    secret = Confidential(url=url, secret=make_secret())
    unit.record(
        caller, WebhookCreated, webhook_id=number, changes=pointers.diff({}, _recorded(members))
    )
    now = to_micros(unit.clock())
    row = _columns(members) | {
        "organization_id": organization_id,
        "webhook_id": number,
        "sealed": _sealed(unit.keys(organization_id), organization_id, number, secret),
        "created_at": now,
        "updated_at": now,
        "cursor": unit.log_head(organization_id).sequence,
        "failures": 0,
        "due_at": now,
        "is_asked": False,
        "owner": "",
        "owned_until": 0,
    }
    unit.write(_insert, row)
    return unit.read(find_webhook, organization_id, number), secret.secret


def change(
    unit: UnitOfWork, caller: Caller, webhook_id: int, change: Change, *, allow_private: bool
) -> Webhook:
    """Change an endpoint; one that is switched on goes on where it stopped.

    A URL as it is shown stays as it is. What changes nothing records nothing. Raises
    ``InvalidSettings`` and ``WebhookNotFound``.
    """
    organization_id = caller.organization_id
    unit.log_head(organization_id)
    row = unit.read(find_row, organization_id, webhook_id)
    before = _shown(row)
    secret = unsealed(unit.keys(organization_id), row)
    members = _members(change)
    kind = members.get("format", before.format)
    url = members.get("url", before.url)
    url = secret.url if url == before.url else url
    members["url"] = _shown_url(url, kind, allow_private=allow_private)
    changes = pointers.diff(_recorded(before), _recorded(before) | _recorded(members))
    url_changed = url != secret.url
    if not changes and not url_changed:
        return before
    values = _columns(members) | {"updated_at": to_micros(unit.clock())}
    if url_changed:
        secret = msgspec.structs.replace(secret, url=url)
        values["sealed"] = _sealed(unit.keys(organization_id), organization_id, webhook_id, secret)
    if url_changed or not before.enabled:
        values |= {"failures": 0, "due_at": to_micros(unit.clock())}
    unit.write(update, organization_id, webhook_id, values)
    if before.enabled and not members.get("enabled", True):
        unit.record(caller, WebhookDisabled, webhook_id=webhook_id, changes=changes)
    else:
        unit.record(
            caller,
            WebhookChanged,
            webhook_id=webhook_id,
            changes=changes,
            url_changed=url_changed,
        )
    return unit.read(find_webhook, organization_id, webhook_id)


def rotate(unit: UnitOfWork, caller: Caller, webhook_id: int) -> tuple[Webhook, str]:
    """Give an endpoint a new secret; for a day the old one signs, too. Shown only here."""
    organization_id = caller.organization_id
    unit.log_head(organization_id)
    row = unit.read(find_row, organization_id, webhook_id)
    keys, now = unit.keys(organization_id), unit.clock()
    old = unsealed(keys, row)
    new = Confidential(
        url=old.url,
        secret=make_secret(),
        former=old.secret,
        former_until=to_micros(now + _BOTH),
    )
    sealed = _sealed(keys, organization_id, webhook_id, new)
    values = {"sealed": sealed, "updated_at": to_micros(now)}
    unit.write(update, organization_id, webhook_id, values)
    unit.record(caller, WebhookChanged, webhook_id=webhook_id, changes={}, secret_rotated=True)
    return unit.read(find_webhook, organization_id, webhook_id), new.secret


def delete(unit: UnitOfWork, caller: Caller, webhook_id: int) -> None:
    """Delete an endpoint with its secret and its deliveries; raises ``WebhookNotFound``."""
    organization_id = caller.organization_id
    unit.log_head(organization_id)
    unit.read(find_row, organization_id, webhook_id)
    unit.write(_delete, organization_id, webhook_id)
    unit.record(caller, WebhookDeleted, webhook_id=webhook_id)


def update(
    connection: sa.Connection, organization_id: int, webhook_id: int, values: dict[str, Any]
) -> None:
    """Set columns of an endpoint."""
    connection.execute(
        sa.update(webhooks)
        .where(webhooks.c.organization_id == organization_id, webhooks.c.webhook_id == webhook_id)
        .values(**values)
    )


def _insert(connection: sa.Connection, row: dict[str, Any]) -> None:
    connection.execute(sa.insert(webhooks).values(row))


def _delete(connection: sa.Connection, organization_id: int, webhook_id: int) -> None:
    for table in (webhook_deliveries, webhooks):
        connection.execute(
            sa.delete(table).where(
                table.c.organization_id == organization_id, table.c.webhook_id == webhook_id
            )
        )


def _last_id(connection: sa.Connection, organization_id: int) -> int:
    query = rows_of(webhooks, organization_id, sa.func.max(webhooks.c.webhook_id))
    return connection.scalar(query) or 0


def _members(change: Change) -> dict[str, Any]:
    """The members that are set, checked; raises ``InvalidSettings``."""
    members = {
        name: value
        for name in Change.__struct_fields__
        if (value := getattr(change, name)) is not UNSET
    }
    if "description" in members:
        members["description"] = clean_reason(members["description"])
    errors = [
        FieldError(loc=("body", "event_types", position), msg="No such type", type="enum")
        for position, name in enumerate(members.get("event_types", ()))
        if name not in _TYPES
    ]
    if errors:
        raise InvalidSettings(tuple(errors))
    return members


def _shown_url(url: str, kind: Format, *, allow_private: bool) -> str:
    """A URL as it is shown; raises ``InvalidSettings``."""
    try:
        target = addresses.read_url(url, allow_private=allow_private)
    except ValueError as error:
        field = FieldError(loc=("body", "url"), msg=str(error), type="url")
        raise InvalidSettings((field,)) from None
    return addresses.shown(target, is_secret=kind != "standard")


def _recorded(members: Webhook | dict[str, Any]) -> Tree:
    """The members that events hold."""
    have = members if isinstance(members, dict) else msgspec.structs.asdict(members)
    return {name: have[name] for name in _RECORDED if name in have}


def _columns(members: dict[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.json.encode(value) if name in _LISTS else value
        for name, value in members.items()
    }
