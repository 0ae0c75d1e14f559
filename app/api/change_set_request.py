"""What a change set is to change, and of which assistants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from app.api.openapi.operations import REFERENCE
from app.assistants import change_sets
from app.assistants.change_sets import (
    MOST,
    MOST_COMPARED,
)
from app.storage.tables import MAX_ID
from events import pointers
from events.bodies.patch import read_patch
from events.errors import DomainError, FieldError, InvalidSettings
from events.pointers import POINTER_BELOW
from events.setting_types import Reason
from projections import current
from projections.current import Selection

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork
    from events.bodies.patch import SettingsPatch


_MOST_BYTES = 32 * 1024 * 1024
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
_AS_A_PATCH = {"$ref": REFERENCE.format(name="AssistantPatch")}


class ChangeSetFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chooses the assistants that match all of it. ``settings`` are shown values by path.

    A misspelt member is refused: without it the filter would choose too many.
    """

    is_active: bool | None = None
    search: Annotated[str, Meta(max_length=200)] = ""
    settings: Annotated[
        dict[str, Any],
        Meta(max_length=50, extra_json_schema={"propertyNames": {"pattern": POINTER_BELOW}}),
    ] = field(default_factory=dict)


class ChangeSetRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One patch for the assistants of ``assistant_ids`` or of a ``filter``; ``{}`` means all."""

    patch: Annotated[dict[str, Any], Meta(extra_json_schema=_AS_A_PATCH)]
    assistant_ids: Annotated[list[Id], Meta(min_length=1, max_length=MOST)] | None = None
    filter: ChangeSetFilter | None = None
    change_description: Reason | None = None
    dry_run: bool = False


def check_pointers(filters: ChangeSetFilter | None) -> None:
    """Raise ``InvalidSettings`` for keys of ``settings`` that are no JSON Pointers.

    The error names the number of a key, not the key: that may be a secret, sent in the wrong place.
    """
    errors = [
        FieldError(
            loc=("body", "filter", "settings"),
            msg=f"Key {number} should be a JSON Pointer, such as /llm_settings/top_p",
            type="json_pointer",
        )
        for number, key in enumerate(filters.settings if filters else (), 1)
        if not key or not pointers.is_pointer(key)
    ]
    if errors:
        raise InvalidSettings(tuple(errors))


def patch_of(body: dict[str, Any], *, strict: bool) -> SettingsPatch:
    """The patch of a body; raises ``InvalidSettings`` with the places below ``patch``."""
    try:
        patch = read_patch(body, strict=strict)
    except InvalidSettings as refusal:
        raise in_patch(refusal) from None
    ignored = tuple(f"/patch{pointer}" for pointer in patch.ignored)
    return msgspec.structs.replace(patch, ignored=ignored)


def in_patch(refusal: DomainError) -> DomainError:
    """The same error with its places below the member ``patch`` of the body."""
    if not isinstance(refusal, InvalidSettings):
        return refusal
    return InvalidSettings(
        tuple(
            msgspec.structs.replace(error, loc=("body", "patch", *error.loc[1:]))
            for error in refusal.errors
        )
    )


def choose(unit: UnitOfWork, organization_id: int, body: ChangeSetRequest) -> list[int]:
    """The ids of the chosen assistants, in order; raises ``InvalidSettings`` for too many."""
    if body.assistant_ids is not None:
        return _bounded(sorted(set(body.assistant_ids)), body, "assistant_ids")
    filters = body.filter or ChangeSetFilter()
    selection = Selection(active=filters.is_active, search=filters.search)
    _check_count(
        unit.read(current.count, organization_id, selection),
        MOST_COMPARED if filters.settings else MOST,
        "filter",
    )
    ids = change_sets.choose(unit, organization_id, selection, filters.settings)
    return _bounded(ids, body, "filter")


def _bounded(ids: list[int], body: ChangeSetRequest, name: str) -> list[int]:
    """The ids; a set is written in one transaction, which must not delay others for long."""
    _check_count(len(ids), MOST, name)
    if len(ids) * len(msgspec.json.encode(body.patch)) > _MOST_BYTES:
        message = f"The patches of a set may take at most {_MOST_BYTES} bytes in all"
        raise InvalidSettings((FieldError(loc=("body", name), msg=message, type="too_many"),))
    return ids


def _check_count(count: int, most: int, name: str) -> None:
    if count > most:
        message = f"{count} assistants are chosen; it may be at most {most}"
        raise InvalidSettings((FieldError(loc=("body", name), msg=message, type="too_many"),))
