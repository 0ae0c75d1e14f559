"""The errors of the domain. Each carries the data that explains it.

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


class DomainError(Exception):
    """A request that the domain refuses. Nothing was changed."""


class AssistantNotFound(DomainError):
    """The assistant is missing, deleted, or another organization's: clients see no difference."""

    def __init__(self, assistant_id: int) -> None:
        super().__init__(assistant_id)
        self.assistant_id = assistant_id


class VersionNotFound(DomainError):
    """The assistant exists, but this version of it does not."""

    def __init__(self, assistant_id: int, version: int | str) -> None:
        super().__init__(assistant_id, version)
        self.assistant_id = assistant_id
        self.version = version


class NotDeleted(DomainError):
    """The assistant is not deleted, so that it cannot be restored."""

    def __init__(self, assistant_id: int) -> None:
        super().__init__(assistant_id)
        self.assistant_id = assistant_id


class InvalidSettings(DomainError):
    """A body breaks one or more rules; ``errors`` lists them."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors


class MalformedJSON(DomainError):
    """Bytes that are no acceptable JSON: broken, ambiguous or not storable.

    ``position`` is in characters; 0 where the parser does not tell it.
    """

    def __init__(self, rule: str, position: int = 0) -> None:
        super().__init__(rule, position)
        self.rule = rule
        self.position = position

    def __str__(self) -> str:
        return self.rule


class NoSecret(DomainError):
    """The path at this position of the request leads to no secret."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class SecretsGone(DomainError):
    """The sealed values at these paths were destroyed, and cannot be read again."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__(paths)
        self.paths = paths
