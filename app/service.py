"""What Backstory does for a caller.

Every write goes through ``Writer``, every read through ``Database.read``, and both name the
caller's organization.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app import accounts
from app.vault import existing
from events import store
from events.changed import AssistantCreated, Cause, State
from events.decider import ChangeSettings, CreateAssistant, DeleteAssistant, RestoreSettings
from events.errors import AssistantNotFound, VersionNotFound
from events.secrets import count_differences, with_secrets_of
from projections import current, history

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.database import Database
    from app.unit import Caller, Unit
    from app.writer import Writer
    from events.patch import SettingsPatch
    from events.pointers import Tree
    from projections.current import Selection
    from projections.history import Entry, Filter

_COPY = " (Copy)"
_NAME_LENGTH = 100


class Assistant(Struct, frozen=True, kw_only=True):
    """One assistant as its events left it."""

    organization_id: int
    id: int
    state: State


class Assistants:
    """The assistants of the caller's organization, and their history."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    # -- writing

    async def create(self, caller: Caller, patch: SettingsPatch) -> Assistant:
        """Create an assistant from the defaults and a patch."""

        def work(unit: Unit) -> Assistant:
            command = CreateAssistant(patch=patch.tree)
            return _assistant(caller, unit.handle(caller, None, command, patch.reason))

        return await self._writer.write(work)

    async def change(
        self, caller: Caller, assistant_id: int, patch: SettingsPatch, cause: Cause
    ) -> Assistant:
        """Merge a patch; a change that changes nothing records nothing."""

        def work(unit: Unit) -> Assistant:
            command = ChangeSettings(patch=patch.tree, cause=cause)
            return _assistant(caller, unit.handle(caller, assistant_id, command, patch.reason))

        return await self._writer.write(work)

    async def duplicate(self, caller: Caller, assistant_id: int) -> Assistant:
        """Create an assistant with another's settings; secrets are not copied."""

        def work(unit: Unit) -> Assistant:
            source = unit.state(caller.organization_id, assistant_id)
            if not source.version or source.deleted:
                raise AssistantNotFound(assistant_id)
            command = CreateAssistant(
                patch=_copied(source.settings),
                cause=Cause(type="duplicate", assistant_id=assistant_id),
            )
            return _assistant(caller, unit.handle(caller, None, command))

        return await self._writer.write(work)

    async def delete(self, caller: Caller, assistant_id: int) -> Assistant:
        """Delete an assistant; its history stays."""

        def work(unit: Unit) -> Assistant:
            return _assistant(caller, unit.handle(caller, assistant_id, DeleteAssistant()))

        return await self._writer.write(work)

    async def roll_back(
        self,
        caller: Caller,
        assistant_id: int,
        version: int,
        reason: str | None,
        *,
        restore_secrets: bool = False,
    ) -> tuple[Assistant, int]:
        """Restore the settings as they were before the change that made ``version``.

        The answer also counts the secrets that differ from what they were then, because the
        current ones are kept, or with ``restore_secrets`` because the old ones are gone.
        """

        def work(unit: Unit) -> tuple[Assistant, int]:
            state = unit.state(caller.organization_id, assistant_id)
            if not state.version or state.deleted:
                raise AssistantNotFound(assistant_id)
            settings = _settings_before(unit, caller.organization_id, assistant_id, version)
            restorable: frozenset[str] = frozenset()
            if restore_secrets:
                unit.flush()
                restorable = existing(unit.connection, caller.organization_id, assistant_id)
            command = RestoreSettings(
                settings=settings, to_version=version - 1, restorable=restorable
            )
            handled = unit.handle(caller, assistant_id, command, reason)
            kept = count_differences(settings, handled[1].settings)
            return _assistant(caller, handled), kept

        return await self._writer.write(work)

    # -- reading

    async def get(self, organization_id: int, assistant_id: int) -> Assistant:
        """One living assistant; raises ``AssistantNotFound``."""
        state = await self._database.read(current.load, organization_id, assistant_id)
        if state is None or state.deleted:
            raise AssistantNotFound(assistant_id)
        return Assistant(organization_id=organization_id, id=assistant_id, state=state)

    async def select(
        self,
        organization_id: int,
        selection: Selection,
        *,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[Assistant]:
        """The chosen living assistants, newest first."""
        found = await self._database.read(
            current.select, organization_id, selection, skip=skip, limit=limit
        )
        return [Assistant(organization_id=organization_id, id=i, state=s) for i, s in found]

    async def count(self, organization_id: int, selection: Selection) -> int:
        """How many assistants ``select`` would give."""
        return await self._database.read(current.count, organization_id, selection)

    async def history(
        self,
        organization_id: int,
        assistant_id: int,
        wanted: Filter,
        limit: int,
        *,
        include_deleted: bool = False,
    ) -> list[Entry]:
        """The newest ``limit`` wanted entries of the settings history."""

        def work(connection: sa.Connection) -> list[Entry]:
            state = current.load(connection, organization_id, assistant_id)
            if state is None or (state.deleted and not include_deleted):
                raise AssistantNotFound(assistant_id)
            events = store.read_stream(connection, organization_id, assistant_id, newest_first=True)
            emails = accounts.emails(connection, organization_id)
            return list(islice(history.entries(state, events, wanted, emails), limit))

        return await self._database.snapshot(work)


def _assistant(caller: Caller, handled: tuple[int, State]) -> Assistant:
    assistant_id, state = handled
    return Assistant(organization_id=caller.organization_id, id=assistant_id, state=state)


def _copied(settings: Tree) -> Tree:
    copied: Tree = with_secrets_of(settings, {})
    name = copied["name"][: _NAME_LENGTH - len(_COPY)] + _COPY
    return copied | {"name": name}


def _settings_before(unit: Unit, organization_id: int, assistant_id: int, version: int) -> Tree:
    """The settings before the change that made ``version``, from today's backwards."""
    state = unit.state(organization_id, assistant_id)
    for event in unit.newest_first(organization_id, assistant_id):
        if isinstance(event, AssistantCreated):
            break
        state = history.before(event, state)
        if event.version == version:
            return state.settings
    raise VersionNotFound(assistant_id, version)


def encode(assistant: Assistant) -> bytes:
    """An assistant as it is answered."""
    return msgspec.json.encode(
        current.represent(assistant.organization_id, assistant.id, assistant.state)
    )
