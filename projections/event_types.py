"""The types of events: what the audit log and OCSF call each of them.

A new type of event has one entry here, beside its Struct in ``events.changed``.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from events.changed import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRevoked,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    AuditExported,
    CheckpointRecorded,
    LogEvent,
    LoginRefused,
    PhoneNumberAdded,
    PhoneNumberAssigned,
    PhoneNumberRenamed,
    PhoneNumberUnassigned,
    PolicyChanged,
    SecretKeysRotated,
    SecretsErased,
    SecretsRevealed,
    VersionLabelled,
    WebhookAsked,
    WebhookChanged,
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
)
from events.codec import tags_of


class Activity(Struct, frozen=True):
    """An event as OCSF's class Entity Management describes it.

    ``activity_id`` is a number that OCSF publishes, or 99 ("Other"); ``caption`` is the name
    published with the number, or our own name beside 99. The message of a record is the actor's
    name, ``message``, and the entity's id.
    """

    activity_id: int
    caption: str
    entity: str
    message: str
    severity_id: int = 1  # 1 informational, 2 low, 3 medium
    failed: bool = False


class Kind(Struct, frozen=True):
    """What events of one type are about, and what they do to it."""

    resource_type: str
    action: str
    description: str
    activity: Activity


class EventType(Struct, frozen=True, kw_only=True):
    """A type of event, as the filter ``event_type`` names it."""

    event_type: str
    resource_type: str
    action: str
    description: str


OTHER = 99  # OCSF's number for an activity or an entity that it does not name

KINDS: Mapping[type[LogEvent], Kind] = {
    AssistantCreated: Kind(
        "assistant",
        "create",
        "An assistant was created or copied",
        Activity(1, "Create", "assistant", "created assistant"),
    ),
    AssistantSettingsChanged: Kind(
        "assistant",
        "update",
        "Settings were changed or rolled back",
        Activity(3, "Update", "assistant", "changed assistant"),
    ),
    AssistantDeleted: Kind(
        "assistant",
        "delete",
        "An assistant was deleted",
        Activity(4, "Delete", "assistant", "deleted assistant"),
    ),
    AssistantRestored: Kind(
        "assistant",
        "restore",
        "A deleted assistant was restored",
        Activity(OTHER, "Restore", "assistant", "restored assistant"),
    ),
    VersionLabelled: Kind(
        "assistant",
        "label",
        "A version was named, or its name taken away",
        Activity(3, "Update", "assistant", "labelled a version of assistant"),
    ),
    PolicyChanged: Kind(
        "policy",
        "update",
        "What is demanded of changes was changed",
        Activity(3, "Update", "Policy", "changed the policy of organization"),
    ),
    SecretsErased: Kind(
        "assistant",
        "erase",
        "Sealed secrets were destroyed",
        Activity(4, "Delete", "secrets", "erased the secrets of assistant", 2),
    ),
    SecretsRevealed: Kind(
        "assistant",
        "reveal",
        "Secrets were read back",
        Activity(2, "Read", "secrets", "revealed secrets of assistant", 2),
    ),
    ApiKeyCreated: Kind(
        "api_key",
        "create",
        "An API key was made",
        Activity(1, "Create", "api_key", "created API key"),
    ),
    ApiKeyChanged: Kind(
        "api_key",
        "update",
        "An API key was renamed, narrowed or switched on",
        Activity(3, "Update", "api_key", "changed API key"),
    ),
    ApiKeyRevoked: Kind(
        "api_key",
        "revoke",
        "An API key was switched off",
        Activity(9, "Disable", "api_key", "revoked API key"),
    ),
    PhoneNumberAdded: Kind(
        "phone_number",
        "create",
        "The organization got a phone number",
        Activity(1, "Create", "phone_number", "added phone number"),
    ),
    PhoneNumberRenamed: Kind(
        "phone_number",
        "update",
        "The friendly name of a phone number was changed",
        Activity(3, "Update", "phone_number", "renamed phone number"),
    ),
    PhoneNumberAssigned: Kind(
        "phone_number",
        "assign",
        "An assistant answers a phone number from then on",
        Activity(3, "Update", "phone_number", "assigned phone number"),
    ),
    PhoneNumberUnassigned: Kind(
        "phone_number",
        "unassign",
        "An assistant answers a phone number no longer",
        Activity(3, "Update", "phone_number", "unassigned phone number"),
    ),
    LoginRefused: Kind(
        "api_key",
        "login",
        "A key that is unknown or revoked was turned away",
        Activity(OTHER, "Refuse", "api_key", "was refused with API key", 3, failed=True),
    ),
    WebhookCreated: Kind(
        "webhook",
        "create",
        "An endpoint of webhooks was made",
        Activity(1, "Create", "webhook", "created webhook"),
    ),
    WebhookChanged: Kind(
        "webhook",
        "update",
        "An endpoint of webhooks was changed, or its secret rotated",
        Activity(3, "Update", "webhook", "changed webhook"),
    ),
    WebhookDisabled: Kind(
        "webhook",
        "disable",
        "An endpoint of webhooks was switched off",
        Activity(9, "Disable", "webhook", "switched off webhook", 2),
    ),
    WebhookAsked: Kind(
        "webhook",
        "deliver",
        "A test, or events once more, were asked for",
        Activity(OTHER, "Deliver", "webhook", "asked for a delivery to webhook"),
    ),
    WebhookDeleted: Kind(
        "webhook",
        "delete",
        "An endpoint of webhooks was deleted",
        Activity(4, "Delete", "webhook", "deleted webhook"),
    ),
    SecretKeysRotated: Kind(
        "secret_keys",
        "rotate",
        "The keys that seal secrets were rotated",
        Activity(3, "Update", "secret_keys", "rotated the secret keys of organization"),
    ),
    AuditExported: Kind(
        "audit_log",
        "export",
        "This log was exported",
        Activity(2, "Read", "audit_log", "exported the audit log of organization"),
    ),
    CheckpointRecorded: Kind(
        "audit_log",
        "checkpoint",
        "The root of this log was signed",
        Activity(OTHER, "Sign", "audit_log", "signed the audit log of organization"),
    ),
}

_TAGS = {tag: kind for event, kind in KINDS.items() for tag in tags_of(event)}


def event_type(tag: str) -> str:
    """'assistant_settings_changed.v1' -> 'assistant_settings_changed'."""
    return tag.partition(".")[0]


EVENT_TYPES = [
    EventType(
        event_type=event_type(tags_of(event)[-1]),
        resource_type=kind.resource_type,
        action=kind.action,
        description=kind.description,
    )
    for event, kind in KINDS.items()
]


def tags(wanted_type: str | None, resource_type: str | None) -> tuple[str, ...] | None:
    """The tags of one type of event, of one type of resource, or of both; None for all tags."""
    if wanted_type is None and resource_type is None:
        return None
    return tuple(
        tag
        for tag, kind in _TAGS.items()
        if wanted_type in (None, event_type(tag)) and resource_type in (None, kind.resource_type)
    )
