"""The secrets of a change: references take their place, equal ones are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.vault import store
from app.vault.sealing import Sealed, make_reference
from events.changed import changes_of
from events.merging import seal
from events.pointers import MARK, Path, Tree, same
from events.secrets.references import places, revealed
from events.secrets.values import Plain, url_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from app.vault.keys import Key
    from events.assistant_key import AssistantKey
    from events.changed import Event


def seal_patch(patch: Tree, version: int) -> tuple[Tree, dict[str, Sealed]]:
    """A patch with references in place of its secrets, and the secrets by their new ids.

    ``version`` is that of the event which the patch will become.
    """
    sealed: dict[str, Sealed] = {}

    def reference_to(plain: Plain, path: Path) -> Tree:
        reference = make_reference(plain, version)
        sealed[reference[MARK]["id"]] = Sealed(plain, path)
        return reference

    return seal(patch, reference_to), sealed


def equal_secrets(
    connection: sa.Connection,
    key: AssistantKey,
    data: Key,
    sealed: dict[str, Sealed],
    settings: Iterable[Tree],
) -> dict[str, frozenset[str]]:
    """For each new secret, the ids of secrets in the settings with its path and its value.

    Only for a caller who may read secrets: for any other, this would confirm a guess.
    """
    new_paths = {secret.path for secret in sealed.values()}
    existing = store.existing_secrets(connection, *key)
    placements = {
        placement.reference[MARK]["id"]: placement
        for tree in settings
        for placement in places(tree)
        if placement.bound in new_paths and placement.reference[MARK]["id"] in existing
    }
    values = store.unseal(connection, *key, data, placements)
    return {
        secret_id: frozenset(
            old_id
            for old_id, placement in placements.items()
            if placement.bound == new.path
            and same(values[old_id], revealed(url_members(new.plain), new.plain.value))
        )
        for secret_id, new in sealed.items()
    }


def secret_ids(event: Event) -> Iterator[str]:
    """The ids of the secrets that the changes of an event refer to, after them."""
    for change in changes_of(event).values():
        for placement in places(change.after):
            yield placement.reference[MARK]["id"]
