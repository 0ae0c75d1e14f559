"""What a call is to run: the version in force at its first question, and from then on that one.

A runtime that could not ask, and ran what it had, reports that later (``Ran``).
"""

from __future__ import annotations

import secrets as entropy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.assistants import phone_numbers, secrets, states
from app.assistants.view_cache import View, ViewCache, view_of
from app.calls import receipts
from app.calls.digests import digest_of
from app.calls.receipts import Receipt
from events import pointers
from events.errors import DomainError, VersionNotFound
from events.secrets.references import is_erased, places

if TYPE_CHECKING:
    from datetime import datetime

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from events.assistant_key import AssistantKey
    from events.changed import State

DIRECT, BY_NUMBER, PINNED, OFFLINE = "direct", "phone_number", "pinned", "offline"
_REASON = "resolved for a call"
SKEW = timedelta(minutes=1)  # by which a runtime's clock may be ahead


class CallHasAnother(DomainError):
    """The call has a receipt that does not fit the request: of another assistant or version."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt.call_id)
        self.receipt = receipt


class DigestDiffers(DomainError):
    """The settings of the version that a call ran have another digest than was reported."""

    def __init__(self, assistant_id: int, version: int, digest: str) -> None:
        super().__init__(assistant_id, version)
        self.assistant_id = assistant_id
        self.version = version
        self.digest = digest


class InFuture(DomainError):
    """The call is reported to have begun at a moment that is still to come."""


class Ran(Struct, frozen=True, kw_only=True):
    """What a call ran while the runtime could not ask, and when it began."""

    version: int
    digest: str
    at: datetime | None


class ResolveRequest(Struct, frozen=True, kw_only=True):
    """A runtime asks what a call is to run, by its assistant or by the number that was called."""

    caller: Caller  # the runtime
    call_id: str
    assistant_id: int | None = None
    number: str | None = None
    phone: str | None = None  # who calls; stored as a keyed hash alone
    ran: Ran | None = None
    with_secrets: bool = False

    @property
    def organization_id(self) -> int:
        """The organization of the runtime."""
        return self.caller.organization_id

    def key(self, assistant_id: int) -> AssistantKey:
        """An assistant of the organization."""
        return self.caller.assistant_key(assistant_id)


class Resolved(Struct, frozen=True, kw_only=True):
    """The answer: the receipt, the settings of its version, and their secrets by path."""

    receipt: Receipt
    reason: str  # of this answer: ``pinned`` where the receipt was there before
    view: View
    secrets: dict[str, str | int | float]


class Run(Struct, frozen=True):
    """What a call runs: an assistant, its state then, and what is shown of that today."""

    key: AssistantKey
    state: State
    view: View


def resolve(unit: UnitOfWork, request: ResolveRequest, views: ViewCache) -> Resolved:
    """What a call is to run, with its receipt stored.

    Raises ``AssistantNotFound``, ``PhoneNumberNotAssigned``, ``VersionNotFound``,
    ``CallHasAnother``, ``DigestDiffers`` and ``InFuture``.
    """
    unit.log_head(request.organization_id)  # locks it: of two questions, one is the first
    receipt = receipts.find(unit, request.organization_id, request.call_id)
    if receipt is not None:
        return _again(unit, request, receipt, views)
    if request.ran is not None:
        return _offline(unit, request, request.ran, views)
    key = request.key(_named(unit, request))
    state = states.existing(unit, key)
    reason = DIRECT if request.number is None else BY_NUMBER
    run = Run(key, state, views.shown(key, state))
    return _first(unit, request, reason, unit.clock(), run)


def _named(unit: UnitOfWork, request: ResolveRequest, at: datetime | None = None) -> int:
    """The id of the assistant that is named, or that answers the number, or did at a moment."""
    if request.assistant_id is not None:
        return request.assistant_id
    number = request.number or ""
    return unit.read(phone_numbers.resolve, request.organization_id, number, at)


def _again(
    unit: UnitOfWork, request: ResolveRequest, receipt: Receipt, views: ViewCache
) -> Resolved:
    """The version of the first answer. A call keeps its assistant when its number is reassigned."""
    ran = request.ran
    is_same = request.assistant_id in (None, receipt.assistant_id)
    if not is_same or (ran is not None and ran.version != receipt.version):
        raise CallHasAnother(receipt)
    run = _at(unit, request.key(receipt.assistant_id), receipt.version, views)
    revealed = _secrets(unit, request, run)
    return Resolved(receipt=receipt, reason=PINNED, view=run.view, secrets=revealed)


def _offline(unit: UnitOfWork, request: ResolveRequest, ran: Ran, views: ViewCache) -> Resolved:
    now = unit.clock()
    at = ran.at or now
    if at > now + SKEW:
        raise InFuture
    assistant_id = _named(unit, request, at)
    key = request.key(assistant_id)
    current = states.existing_or_deleted(unit, key)
    if not 0 < ran.version <= current.version:
        raise VersionNotFound(assistant_id, ran.version)
    run = _at(unit, key, ran.version, views)
    if run.state.deleted:
        raise VersionNotFound(assistant_id, ran.version)
    if ran.digest not in (digest_of(run.view), digest_of(_unerased(run))):
        raise DigestDiffers(assistant_id, ran.version, digest_of(run.view))
    return _first(unit, request, OFFLINE, at, run)


def _unerased(run: Run) -> View:
    """The view of a state before its secrets were erased."""
    return view_of(run.key, msgspec.structs.replace(run.state, erased_version=0))


def _first(
    unit: UnitOfWork, request: ResolveRequest, reason: str, at: datetime, run: Run
) -> Resolved:
    phone, organization_id = request.phone, request.organization_id
    receipt = Receipt(
        call_id=request.call_id,
        receipt_id=f"rcp_{entropy.token_hex(12)}",
        assistant_id=run.key.assistant_id,
        version=run.state.version,
        digest=digest_of(run.view),
        reason=reason,
        resolved_at=at,
        caller_hash=phone and receipts.caller_hash(unit, organization_id, phone),
    )
    revealed = _secrets(unit, request, run)
    receipts.add(unit, organization_id, receipt)
    return Resolved(receipt=receipt, reason=reason, view=run.view, secrets=revealed)


def _at(unit: UnitOfWork, key: AssistantKey, version: int, views: ViewCache) -> Run:
    """An assistant at a version."""
    current = states.existing_or_deleted(unit, key)
    if version == current.version:
        return Run(key, current, views.shown(key, current))
    state = states.at_version(unit, key, version, current)
    return Run(key, state, view_of(key, state))


def _secrets(unit: UnitOfWork, request: ResolveRequest, run: Run) -> dict[str, str | int | float]:
    """The secrets that are asked for and not erased; that they were read is an event."""
    state = run.state
    if not request.with_secrets:
        return {}
    paths = tuple(
        pointers.join(place.at)
        for place in places(state.known)
        if not is_erased(place.reference, state.erased_version)
    )
    if not paths:
        return {}
    return secrets.reveal(unit, request.caller, run.key.assistant_id, paths, _REASON, state)


def put(settings: Any, path: str, value: Any) -> None:
    """Set the value at a path that exists, in place."""
    *above, last = pointers.split(path)
    for token in above:
        settings = settings[_step(settings, token)]
    settings[_step(settings, last)] = value


def _step(value: Any, token: str) -> str | int:
    return int(token) if isinstance(value, list) else token
