"""What a change set is to change, and of which assistants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from app.api.openapi.operations import REFERENCE
from app.assistants import matching
from app.assistants.change_sets import MOST, MOST_BYTES
from app.assistants.matching import MOST_COMPARED, Compared, ComparedTooLong, TooManyToCompare
from app.storage.tables import MAX_ID
from events import pointers
from events.bodies.patch import read_patch
from events.errors import DomainError, FieldError, InvalidSettings, Location
from events.pointers import POINTER_BELOW
from events.setting_types import Reason
from projections import current
from projections.current import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from app.storage.database import Database
    from app.transactions.unit_of_work import UnitOfWork
    from events.bodies.patch import SettingsPatch


_FILTER = ("body", "filter")
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


async def compare(
    database: Database, organization_id: int, filters: ChangeSetFilter | None
) -> Compared | DomainError | None:
    """Which assistants show the settings of a filter, if it has any; or why that is not known.

    It takes long for large assistants, so it is done before others wait for a lock. The error is
    raised later: a repeated request gets its stored answer in spite of it.
    """
    if filters is None or not filters.settings:
        return None
    try:
        return await matching.compare(
            database, organization_id, _selection(filters), filters.settings, MOST_COMPARED
        )
    except TooManyToCompare as error:
        return _too_many(_FILTER, error.count, MOST_COMPARED)
    except ComparedTooLong as error:
        message = (
            f"The filter stopped after {matching.SECONDS:g} seconds: the settings of"
            f" {error.compared} of {error.total} assistants were compared. Choose fewer by"
            " is_active or search, or send assistant_ids"
        )
        return _refusal(_FILTER, message)


def choose(
    unit: UnitOfWork,
    organization_id: int,
    body: ChangeSetRequest,
    compared: Compared | DomainError | None,
) -> list[int]:
    """The ids of the chosen assistants, in order; raises ``InvalidSettings`` for too many."""
    if isinstance(compared, DomainError):
        raise compared
    patch = len(msgspec.json.encode(body.patch))
    if body.assistant_ids is not None:
        ids, location = sorted(set(body.assistant_ids)), ("body", "assistant_ids")
        unit.read(check_size, organization_id, ids, location, len(ids) * patch)
        return ids
    sizes = _matching(unit, organization_id, body.filter, compared)
    _check_count(len(sizes), MOST, _FILTER)
    _check_bytes(len(sizes) * patch + sum(sizes.values()), _FILTER)
    return sorted(sizes)


def check_size(
    connection: sa.Connection,
    organization_id: int,
    ids: Iterable[int],
    location: Location,
    patches: int = 0,
) -> None:
    """Raise ``InvalidSettings`` for assistants too large to change in one transaction.

    Others wait for it meanwhile. ``patches`` are the bytes of all patches.
    """
    selection = Selection(assistant_ids=tuple(ids))
    _check_bytes(patches + current.size(connection, organization_id, selection), location)


def _selection(filters: ChangeSetFilter | None) -> Selection:
    filters = filters or ChangeSetFilter()
    return Selection(active=filters.is_active, search=filters.search)


def _matching(
    unit: UnitOfWork,
    organization_id: int,
    filters: ChangeSetFilter | None,
    compared: Compared | None,
) -> dict[int, int]:
    """The assistants that match a filter, with the bytes of their settings.

    Those that changed since they were compared are compared again.
    """
    selection = _selection(filters)
    count = unit.read(current.count, organization_id, selection)
    _check_count(count, MOST if compared is None else MOST_COMPARED, _FILTER)
    stamps, sizes = unit.read(current.select_stamps, organization_id, selection)
    if filters is None or compared is None:
        return sizes
    changed = compared.changed(stamps)
    _check_bytes(sum(sizes[one] for one in changed), _FILTER)
    again = unit.read(matching.matching, organization_id, changed, filters.settings)
    found = (compared.matching & stamps.keys()) - set(changed) | set(again)
    return {one: sizes[one] for one in found}


def _check_count(count: int, most: int, location: Location) -> None:
    if count > most:
        raise _too_many(location, count, most)


def _too_many(location: Location, count: int, most: int) -> InvalidSettings:
    return _refusal(location, f"{count} assistants are chosen; it may be at most {most}")


def _check_bytes(size: int, location: Location) -> None:
    if size > MOST_BYTES:
        message = (
            f"The settings of the assistants and the patches take {size} bytes; it may be at most"
            f" {MOST_BYTES}. Choose fewer assistants at once"
        )
        raise _refusal(location, message)


def _refusal(location: Location, message: str) -> InvalidSettings:
    return InvalidSettings((FieldError(loc=location, msg=message, type="too_many"),))
