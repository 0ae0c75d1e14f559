"""A log with one event of each type, random logs, and exports of them."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import structs

from events import codec, merkle, pointers
from events.changed import (
    Actor,
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRevoked,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    AuditExported,
    Cause,
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
from events.log_search import Stored
from events.pointers import Change
from projections.exports.format import Coverage
from projections.exports.formats import FORMATS
from tests.events.given import ACTOR, ASSISTANT, ORGANIZATION, at, secret
from tests.events.strategies import EVENTS, TEXTS

KEY = "/llm_provider_config/api_key"
ORIGIN = "backstory/organizations/1/00112233445566778899aabbccddeeff"

# -- one event of each type


def common(sequence: int, **members: Any) -> dict[str, Any]:
    """The members that every event has."""
    return {
        "organization_id": ORGANIZATION,
        "sequence": sequence,
        "assistant_id": ASSISTANT,
        "occurred_at": at(sequence),
        "actor": ACTOR,
        "reason": None,
        "request_id": "01J9Z3K8Q4",
    } | members


NUMBER: dict[str, Any] = {"phone_number_id": 4, "phone_number": "+14155551234"}
NAME_OF_NUMBER = "/phone_numbers/+14155551234/friendly_name"
HOLDER = "/phone_numbers/+14155551234/assistant_id"
SOMEONE = Actor(type="user", id=3, name="Émile", user_id=3)
NOBODY = Actor(type="system", id=0, name="Backstory", user_id=0)
EXAMPLES: list[LogEvent] = [
    AssistantCreated(
        version=1,
        cause=Cause(type="create"),
        changes={"/name": Change(after="Front desk"), KEY: Change(after=secret("1.a"))},
        **common(1),
    ),
    AssistantSettingsChanged(
        version=2,
        cause=Cause(type="rollback", to_version=1),
        changes={
            "/llm_settings/temperature": Change(before=0.5, after=0.3),
            "/llm_settings/top_p": Change(before=1, after="0.3"),
            "/description": Change(before=None, after=-1),
            "/custom_settings/a~1b": Change(before={"ä": [1, 1.0]}),
            KEY: Change(before=secret("1.a"), after=secret("2.b")),
        },
        **common(2, reason='Calmer, said "Émile"', idempotency_key="retry-1"),
    ),
    SecretsRevealed(paths=["/api_keys/a~1b", KEY], **common(3, actor=SOMEONE)),
    SecretsErased(version=3, cause=Cause(type="erase"), **common(4)),
    AssistantDeleted(version=4, cause=Cause(type="delete"), **common(5)),
    ApiKeyCreated(
        key_id=8, changes={"/name": Change(after="Night")}, **common(6, assistant_id=None)
    ),
    ApiKeyChanged(
        key_id=8,
        changes={"/name": Change(before="Night", after="Day")},
        **common(7, assistant_id=None),
    ),
    ApiKeyRevoked(
        key_id=8,
        changes={"/is_active": Change(before=True, after=False)},
        **common(8, assistant_id=None),
    ),
    LoginRefused(
        key_id=None,
        key_prefix="bs_live_4",
        ip_address="2001:db8::7",
        unrecorded=41,
        **common(9, assistant_id=None, actor=NOBODY),
    ),
    SecretKeysRotated(data_keys=True, **common(10, assistant_id=None, actor=NOBODY)),
    AuditExported(
        format="csv",
        after=0,
        until_sequence=10,
        filter={"assistant_id": ASSISTANT},
        **common(11, assistant_id=None, actor=SOMEONE),
    ),
    CheckpointRecorded(
        checkpoint="backstory/1\n11\nAAAA\n\n— backstory/1 AAAA\n",
        **common(12, assistant_id=None, actor=NOBODY),
    ),
    AssistantRestored(version=5, cause=Cause(type="restore", undoes=4), **common(13)),
    VersionLabelled(labelled_version=2, label="Für später", **common(14)),
    PolicyChanged(
        changes={"/require_reason": Change(before=False, after=True)},
        **common(15, assistant_id=None, actor=SOMEONE),
    ),
    PhoneNumberAdded(
        changes={NAME_OF_NUMBER: Change(after=None)}, **NUMBER, **common(16, assistant_id=None)
    ),
    PhoneNumberRenamed(
        changes={NAME_OF_NUMBER: Change(before=None, after="=Büro")},
        **NUMBER,
        **common(17, assistant_id=None, actor=SOMEONE),
    ),
    PhoneNumberAssigned(
        changes={HOLDER: Change(before=None, after=ASSISTANT)},
        **NUMBER,
        **common(18, reason="The campaign begins"),
    ),
    PhoneNumberUnassigned(
        changes={HOLDER: Change(before=ASSISTANT, after=None)}, **NUMBER, **common(19)
    ),
    WebhookCreated(
        webhook_id=4,
        changes={"/url": Change(after="https://hooks.example/")},
        **common(20, assistant_id=None, actor=SOMEONE),
    ),
    WebhookChanged(
        webhook_id=4,
        changes={},
        secret_rotated=True,
        **common(21, assistant_id=None, actor=SOMEONE),
    ),
    WebhookDisabled(
        webhook_id=4,
        changes={"/enabled": Change(before=True, after=False)},
        **common(22, assistant_id=None, actor=NOBODY, reason="It was gone"),
    ),
    WebhookAsked(
        webhook_id=4,
        delivery="replay",
        from_sequence=3,
        **common(23, assistant_id=None, actor=SOMEONE),
    ),
    WebhookDeleted(webhook_id=4, **common(24, assistant_id=None, actor=SOMEONE)),
]


def stored(event: LogEvent) -> Stored:
    """An event as the store gives it; most events keep more hashes than their leaf's."""
    body = codec.encode(event)
    hashes = merkle.leaf_hash(body) + b"\xff" * merkle.HASH_BYTES * (event.sequence % 3)
    return Stored(event.sequence, body, hashes)


LOG = [stored(event) for event in EXAMPLES]


# -- random logs

_COMMON: dict[str, SearchStrategy[Any]] = {
    "organization_id": st.integers(1, 2**31 - 1),
    "sequence": st.just(0),
    "occurred_at": st.datetimes(
        datetime(2020, 1, 1),  # noqa: DTZ001 (the strategy adds the zone)
        datetime(2100, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    "actor": st.builds(
        Actor,
        type=st.sampled_from(["user", "api_key", "system"]),
        id=st.integers(0, 2**31 - 1),
        name=TEXTS,
        user_id=st.integers(0, 2**31 - 1),
    ),
    "reason": st.none() | TEXTS,
    "request_id": st.none() | TEXTS,
}
_KEY = {"assistant_id": st.none(), "key_id": st.integers(1, 2**31 - 1)}
_NUMBER = {
    "phone_number_id": st.integers(1, 2**31 - 1),
    "phone_number": st.integers(1_000_000, 10**14).map("+{}".format),
}
_WEBHOOK = {"assistant_id": st.none(), "webhook_id": st.integers(1, 2**31 - 1)}
_CHANGES = st.dictionaries(TEXTS.map(lambda name: pointers.join((name,))), st.builds(Change))
LOG_EVENTS: SearchStrategy[LogEvent] = st.one_of(
    EVENTS,
    st.builds(
        SecretsErased,
        assistant_id=st.integers(1, 9),
        version=st.integers(1, 9),
        cause=st.just(Cause(type="erase")),
        **_COMMON,
    ),
    st.builds(SecretsRevealed, assistant_id=st.integers(1, 9), paths=st.lists(TEXTS), **_COMMON),
    st.builds(
        VersionLabelled,
        assistant_id=st.integers(1, 9),
        labelled_version=st.integers(1, 9),
        label=st.none() | TEXTS,
        **_COMMON,
    ),
    st.builds(PolicyChanged, assistant_id=st.none(), changes=_CHANGES, **_COMMON),
    st.builds(ApiKeyCreated, changes=_CHANGES, **_COMMON, **_KEY),
    st.builds(ApiKeyChanged, changes=_CHANGES, **_COMMON, **_KEY),
    st.builds(ApiKeyRevoked, changes=_CHANGES, **_COMMON, **_KEY),
    *(
        st.builds(kind, assistant_id=st.none(), changes=_CHANGES, **_COMMON, **_NUMBER)
        for kind in (PhoneNumberAdded, PhoneNumberRenamed)
    ),
    *(
        st.builds(kind, assistant_id=st.integers(1, 9), changes=_CHANGES, **_COMMON, **_NUMBER)
        for kind in (PhoneNumberAssigned, PhoneNumberUnassigned)
    ),
    st.builds(
        LoginRefused,
        assistant_id=st.none(),
        key_id=st.none() | st.integers(1, 9),
        key_prefix=TEXTS,
        ip_address=st.none() | TEXTS | st.ip_addresses().map(str),
        unrecorded=st.integers(0, 9),
        **_COMMON,
    ),
    st.builds(WebhookCreated, changes=_CHANGES, **_COMMON, **_WEBHOOK),
    st.builds(
        WebhookChanged,
        changes=_CHANGES,
        url_changed=st.booleans(),
        secret_rotated=st.booleans(),
        **_COMMON,
        **_WEBHOOK,
    ),
    st.builds(WebhookDisabled, changes=_CHANGES, **_COMMON, **_WEBHOOK),
    st.builds(
        WebhookAsked,
        delivery=st.sampled_from(["test", "redeliver", "replay"]),
        from_sequence=st.none() | st.integers(0, 9),
        **_COMMON,
        **_WEBHOOK,
    ),
    st.builds(WebhookDeleted, **_COMMON, **_WEBHOOK),
    st.builds(SecretKeysRotated, assistant_id=st.none(), data_keys=st.booleans(), **_COMMON),
    st.builds(
        AuditExported,
        assistant_id=st.none(),
        format=st.sampled_from(sorted(FORMATS)),
        after=st.integers(0, 9),
        until_sequence=st.integers(0, 9),
        filter=st.dictionaries(TEXTS, TEXTS, max_size=2),
        **_COMMON,
    ),
    st.builds(CheckpointRecorded, assistant_id=st.none(), checkpoint=TEXTS, **_COMMON),
)


def _in_order(events: list[LogEvent]) -> list[Stored]:
    return [stored(_placed(event, number)) for number, event in enumerate(events, 1)]


def _placed(event: LogEvent, sequence: int) -> LogEvent:
    """The event at its place; ids as wide as the database's columns."""
    ids = {"organization_id": ORGANIZATION, "sequence": sequence}
    if event.assistant_id is not None:
        ids["assistant_id"] = min(event.assistant_id, 2**31 - 1)
    actor = structs.replace(
        event.actor,
        id=min(event.actor.id, 2**31 - 1),
        user_id=min(event.actor.user_id, 2**31 - 1),
    )
    return structs.replace(event, actor=actor, **ids)


LOGS = st.lists(LOG_EVENTS, max_size=6).map(_in_order)


@st.composite
def cut_logs(draw: st.DrawFn) -> tuple[list[Stored], list[list[Stored]]]:
    """A log, and the same in pages; some of them are empty."""
    log = draw(LOGS)
    cuts = sorted(draw(st.lists(st.integers(0, len(log)), max_size=4)))
    return log, [log[a:b] for a, b in itertools.pairwise([0, *cuts, len(log)])]


# -- exports


def export(name: str, *pages: Sequence[Stored], origin: str = ORIGIN) -> bytes:
    """An export of a log that ends with the last of the pages' events."""
    last = max((event.sequence for page in pages for event in page), default=0)
    encoder = FORMATS[name].encoder(Coverage(origin=origin, last_sequence=last))
    return b"".join([encoder.head(), *map(encoder.encode, pages), encoder.tail()])


def lines(name: str, log: Sequence[Stored]) -> list[Any]:
    """The lines of an export, decoded."""
    return [json.loads(line) for line in export(name, log).splitlines()]


def csv_rows(log: Sequence[Stored]) -> list[dict[str, str]]:
    """The rows of a CSV export, with the cells as they stand in the file."""
    text = export("csv", log).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
