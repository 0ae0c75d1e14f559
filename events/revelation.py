"""Revealing secrets: which may be opened, and the event that records who read them."""

from __future__ import annotations

from msgspec import Struct

from events import pointers
from events.changed import SecretsRevealed, State
from events.commands import Envelope, members_of
from events.errors import AssistantNotFound, NoSecret, SecretsGone
from events.secrets.references import SecretPlacement, is_erased, places


class Revelation(Struct, frozen=True, kw_only=True):
    """The secrets that may be opened once ``event`` is recorded, by JSON Pointer."""

    places: dict[str, SecretPlacement]
    event: SecretsRevealed


def reveal(paths: tuple[str, ...], state: State, envelope: Envelope) -> Revelation:
    """The secrets at or below ``paths``, and the event that records who read them.

    Raises ``AssistantNotFound``, ``NoSecret`` and ``SecretsGone``.
    """
    if not state.version or state.deleted:
        raise AssistantNotFound(envelope.assistant_id)
    stored = {pointers.join(place.at): place for place in places(state.settings)}
    chosen: dict[str, SecretPlacement] = {}
    for position, path in enumerate(paths):
        below = {at: place for at, place in stored.items() if pointers.covers(path, at)}
        if not below:
            raise NoSecret(position)
        chosen |= below
    erased = tuple(
        at for at, place in chosen.items() if is_erased(place.reference, state.erased_version)
    )
    if erased:
        raise SecretsGone(erased)
    event = SecretsRevealed(paths=sorted(chosen), **members_of(envelope))
    return Revelation(places=chosen, event=event)
