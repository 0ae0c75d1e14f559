"""How a caller names a version: ``7``, ``latest``, ``-1`` (the one before it) or ``label:NAME``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from events.errors import FieldError, InvalidSettings, Location, VersionNotFound
from projections import labels

if TYPE_CHECKING:
    import sqlalchemy as sa

    from events.assistant_key import AssistantKey

LATEST = "latest"
LABEL = "label:"
RULE = "Input should be a version: a number, 'latest', '-1' (the one before) or 'label:NAME'"
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_LONGEST_NUMBER = 18  # digits: larger than every version


class Reference(Struct, frozen=True, kw_only=True):
    """A version as a caller names it; ``resolve`` gives its number."""

    text: str
    number: int | None = None
    before_latest: int | None = None  # how many versions before the latest one
    label: str | None = None

    @property
    def is_relative(self) -> bool:
        """Whether it names another version once the assistant changes."""
        return self.before_latest is not None


def read_reference(value: int | str, loc: Location) -> Reference:
    """Read a version as a caller names it; raises ``InvalidSettings``."""
    text = str(value)
    if text == LATEST:
        return Reference(text=text, before_latest=0)
    if text.startswith(LABEL):
        return Reference(text=text, label=text.removeprefix(LABEL))
    if not _NUMBER.fullmatch(text):
        raise InvalidSettings((FieldError(loc=loc, msg=RULE, type="version"),))
    number = int(text[:_LONGEST_NUMBER])
    if number < 0:
        return Reference(text=text, before_latest=-number)
    return Reference(text=text, number=number)


def resolve(
    connection: sa.Connection,
    key: AssistantKey,
    newest: int,
    reference: Reference,
) -> int:
    """The number of the version that is named; raises ``VersionNotFound``."""
    if reference.label is not None:
        version = labels.version_of(connection, *key, reference.label) or 0
    elif reference.before_latest is not None:
        version = newest - reference.before_latest
    else:
        version = reference.number or 0
    if not 0 < version <= newest:
        raise VersionNotFound(key.assistant_id, reference.text)
    return version
