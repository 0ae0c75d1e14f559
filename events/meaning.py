"""What a patch means for the stored settings, worked out before it is sealed and decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from events.bodies.untouched import broken_by, untouched
from events.bodies.validation import MOST_ERRORS
from events.commands import ChangeSettings, CreateAssistant
from events.errors import InvalidSettings
from events.merging import still_secret
from events.secret_paths import under_policy
from events.shape import known

if TYPE_CHECKING:
    from events.changed import State
    from events.policy import Policy

C = TypeVar("C", bound=CreateAssistant | ChangeSettings)


def as_meant(command: C, state: State, policy: Policy) -> C:
    """The command, with its patch compared with the state.

    A value that takes a secret's place becomes a secret, the policy decides about others, and what
    came back as it was shown is left out. Raises ``InvalidSettings`` for the rules that the rest
    of the patch breaks.
    """
    patch = under_policy(still_secret(command.patch, state.settings), policy)
    if isinstance(command, ChangeSettings):
        stored = state.known if command.base is None else known(command.base)
        shown = (command.sent, stored, state.erased_version)
        if broken := tuple(broken_by(command.broken, *shown)):
            raise InvalidSettings(broken[:MOST_ERRORS])
        patch = untouched(patch, *shown)
    return msgspec.structs.replace(command, patch=patch)
