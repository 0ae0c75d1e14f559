"""The refusals of the domain. Each carries the data that explains it.

The words and the status codes that a client sees are made in ``app.api.problems`` alone.
"""

from __future__ import annotations

import msgspec

Location = tuple[str | int, ...]


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule at one place of a request, in FastAPI's shape.

    ``loc`` starts with ``body``, ``query`` or ``path``; positions in a list are integers.
    The offending value is never part of it: it may be a secret.
    """

    loc: Location
    msg: str
    type: str


class Refusal(Exception):
    """A wish that the domain does not grant. Nothing has been changed."""


class AssistantNotFound(Refusal):
    """Missing, deleted, or another organization's: the three answer alike."""

    def __init__(self, assistant_id: int) -> None:
        super().__init__(assistant_id)
        self.assistant_id = assistant_id


class VersionNotFound(Refusal):
    """The assistant exists, but not this version of it."""

    def __init__(self, assistant_id: int, version: int | str) -> None:
        super().__init__(assistant_id, version)
        self.assistant_id = assistant_id
        self.version = version


class NotDeleted(Refusal):
    """The assistant lives: there is nothing to restore."""

    def __init__(self, assistant_id: int) -> None:
        super().__init__(assistant_id)
        self.assistant_id = assistant_id


class InvalidSettings(Refusal):
    """A body breaks one or more rules; all that were found are listed."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors


class MalformedJSON(Refusal):
    """Bytes that are not the JSON we take: broken, ambiguous or unstorable."""

    def __init__(self, rule: str, position: int = 0) -> None:
        super().__init__(rule, position)
        self.rule = rule
        self.position = position

    def __str__(self) -> str:
        return self.rule


class NoSecret(Refusal):
    """At this position of the paths that were asked for, there is no secret."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class SecretsGone(Refusal):
    """The sealed values at these paths were destroyed; nobody can read them again."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__(paths)
        self.paths = paths
