"""The bodies of the assistants API, as OpenAPI shows them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from events.setting_types import Moment, Reason, VersionName
from events.settings import SETTING_NAMES, Settings


class AssistantResponse(Settings, frozen=True, kw_only=True):
    """An assistant as answers show it: with every member, and secrets as ``********``."""

    id: int
    organization_id: int
    user_id: int
    created_at: Moment
    updated_at: Moment
    version: int
    total_calls: int | None = None
    avg_call_duration: int | None = None
    success_rate: float | None = None


class AssistantCreate(Settings, frozen=True, kw_only=True):
    """A new assistant; only ``name`` is required."""

    change_description: Reason | None = None


def _partial(name: str, doc: str) -> type[Struct]:
    """A Struct with every setting, which may be absent (it is kept) or null (it is cleared)."""
    members: list[tuple[str, Any, Any]] = [
        (setting.name, setting.type | None | UnsetType, UNSET)
        for setting in msgspec.structs.fields(Settings)
    ]
    members.append(("change_description", Reason | None | UnsetType, UNSET))
    members.append(("base_version", VersionName | None | UnsetType, UNSET))
    members.append(("on_conflict", Literal["fail", "theirs", "yours"] | None | UnsetType, UNSET))
    members.append(("dry_run", bool | UnsetType, UNSET))
    return msgspec.defstruct(
        name, members, namespace={"__doc__": doc}, module=__name__, frozen=True, kw_only=True
    )


AssistantPatch = _partial("AssistantPatch", "The settings to change; what is absent is kept.")
AssistantUpdate = _partial("AssistantUpdate", "As AssistantPatch: both verbs merge.")
# Members that the server sets. It ignores them when a client sends them back.
READ_ONLY = frozenset(
    member.name for member in msgspec.structs.fields(AssistantResponse)
).difference(SETTING_NAMES)
