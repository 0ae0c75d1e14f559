"""Create, change, duplicate and delete assistants, and label their versions.

Each change goes the same way: check the request's condition, propose an event, review it against
conflicts and the organization's policy, then record it. A dry run stops after the review.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from app.assistants import phone_numbers, states
from app.assistants.requests import ChangeRequest, LabelTaken, Outcome
from app.assistants.review import check_condition, checked_state, raise_if_blocked, review
from events import pointers
from events.bodies.patch import SettingsPatch
from events.bodies.validation import MOST_ERRORS
from events.changed import Cause, State, VersionLabelled
from events.commands import ChangeSettings, Command, CreateAssistant, DeleteAssistant, OnConflict
from events.errors import FieldError, InvalidSettings
from events.secrets.references import places
from events.secrets.restore import with_secrets_of
from projections import labels

if TYPE_CHECKING:
    from app.assistants.references import Reference
    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from events.pointers import Path, Tree

_COPY = " (Copy)"
_NAME_LENGTH = 100

# A patch, or a function that reads one from the state that it applies to.
Patch = SettingsPatch | Callable[[State], SettingsPatch]


def create(
    unit: UnitOfWork, caller: Caller, patch: SettingsPatch, *, dry_run: bool = False
) -> Outcome:
    """Create an assistant from the defaults and a patch."""
    command = CreateAssistant(patch=patch.tree)
    outcome = _create(unit, caller, command, patch.reason, dry_run=dry_run)
    return msgspec.structs.replace(outcome, ignored=patch.ignored)


def duplicate(
    unit: UnitOfWork,
    caller: Caller,
    assistant_id: int,
    *,
    strict: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Create an assistant with another's settings, without its secrets.

    The outcome lists the secrets as ignored; with ``strict``, they are ``InvalidSettings``.
    """
    settings = states.existing(unit, caller.assistant_key(assistant_id)).settings
    secrets = [place.at for place in places(settings)]
    if secrets and strict:
        raise _secrets_not_copied(secrets)
    command = CreateAssistant(
        patch=_copied(settings), cause=Cause(type="duplicate", assistant_id=assistant_id)
    )
    outcome = _create(unit, caller, command, None, dry_run=dry_run)
    return msgspec.structs.replace(outcome, ignored=tuple(map(pointers.join, secrets)))


def change(
    unit: UnitOfWork,
    request: ChangeRequest,
    patch: Patch,
    cause: Cause,
    *,
    base: Reference | None = None,
    on_conflict: OnConflict = "fail",
) -> Outcome:
    """Merge a patch. With ``base``, the version that its author had read, merge three ways."""
    # A base that is relative to the latest version does not show what the author had read.
    is_conditional = base is not None and not base.is_relative
    current = read = checked_state(unit, request, is_conditional=is_conditional)
    if base is not None:
        version = states.resolve(unit, request.key, current, base)
        cause = msgspec.structs.replace(cause, base_version=version)
        read = states.at_version(unit, request.key, version, current)
    patch = patch(read) if callable(patch) else patch
    command = ChangeSettings(
        patch=patch.tree,
        sent=patch.sent,
        broken=patch.broken,
        cause=cause,
        base=None if base is None else read.settings,
        on_conflict=on_conflict,
    )
    request = msgspec.structs.replace(request, reason=patch.reason or request.reason)
    outcome = carry_out(unit, request, command, None if base is None else read.version)
    return msgspec.structs.replace(outcome, ignored=patch.ignored)


def delete(unit: UnitOfWork, request: ChangeRequest) -> Outcome:
    """Delete an assistant. Its history stays; its phone numbers are free."""
    checked_state(unit, request)
    outcome = carry_out(unit, request, DeleteAssistant())
    if not request.dry_run:
        phone_numbers.free(unit, request)
    return outcome


def set_label(
    unit: UnitOfWork, request: ChangeRequest, reference: Reference, label: str | None
) -> int:
    """Label a version, or remove its label (None); return the version's number."""
    state = states.existing(unit, request.key)
    check_condition(unit, request, state)
    version = states.resolve(unit, request.key, state, reference)
    if label is not None:
        holder = unit.read(labels.version_of, *request.key, label)
        if holder not in (None, version):
            raise LabelTaken(label, holder or 0)
    if unit.read(labels.load, *request.key, [version]).get(version) != label:
        unit.record(
            request.caller,
            VersionLabelled,
            request.reason,
            assistant_id=request.assistant_id,
            labelled_version=version,
            label=label,
        )
    return version


def carry_out(
    unit: UnitOfWork, request: ChangeRequest, command: Command, base: int | None = None
) -> Outcome:
    """Propose and review a command; record it unless it is a dry run.

    ``base`` is the version that the command was made on, if not the current one. Raises what
    blocks the change, but not in a dry run.
    """
    proposed = unit.propose(request.caller, request.assistant_id, command, request.reason)
    outcome = review(unit, request, command, proposed, base)
    if not request.dry_run:
        raise_if_blocked(outcome)
        unit.accept(proposed)
    return outcome


def _create(
    unit: UnitOfWork, caller: Caller, command: CreateAssistant, reason: str | None, *, dry_run: bool
) -> Outcome:
    assistant_id = unit.next_id(caller.organization_id)
    proposed = unit.propose(caller, assistant_id, command, reason)
    if not dry_run:
        unit.accept(proposed)
    return Outcome(
        organization_id=caller.organization_id,
        id=assistant_id,
        before=proposed.state,
        state=proposed.proposal.after,
        event=proposed.proposal.event,
    )


def _secrets_not_copied(secrets: list[Path]) -> InvalidSettings:
    message = "A secret is not copied, nor the credentials of a URL"
    errors = [
        FieldError(loc=("body", *at), msg=message, type="secret_not_copied")
        for at in secrets[:MOST_ERRORS]
    ]
    return InvalidSettings(tuple(errors))


def _copied(settings: Tree) -> Tree:
    copied: Tree = with_secrets_of(settings, {})
    name = copied["name"][: _NAME_LENGTH - len(_COPY)] + _COPY
    return copied | {"name": name}
