"""The errors that the API itself raises."""

from __future__ import annotations

from events.errors import DomainError


class Unauthorized(DomainError):
    """There is no key, or it is unknown or revoked."""


class CredentialsRepeated(DomainError):
    """The request has more than one ``Authorization`` header."""


class Forbidden(DomainError):
    """The key is valid, but its role is too low."""

    def __init__(self, *, needed: str, role: str) -> None:
        super().__init__(needed, role)
        self.needed = needed
        self.role = role


class ScopeMissing(DomainError):
    """The key lacks a scope that the route needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.scope = scope


class UnsupportedMediaType(DomainError):
    """The body has another media type; ``headers`` name the accepted ones in the answer."""

    def __init__(self, *, accepted: str, headers: tuple[str, ...]) -> None:
        super().__init__(accepted)
        self.accepted = accepted
        self.headers = headers


class HeaderUnreadable(DomainError):
    """A header that chooses the answer cannot be read (RFC 7089, 4.5.3)."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(name, rule)
        self.name = name
        self.rule = rule


class NoNumbers(DomainError):
    """No phone number was named."""
