"""What the API itself refuses, before and beside the subjects."""

from __future__ import annotations

from events.errors import (
    DomainError,
)


class Unauthorized(DomainError):
    """No key, or one that is unknown or revoked."""


class CredentialsRepeated(DomainError):
    """The request has more than one ``Authorization`` header, so it names no one caller."""


class Forbidden(DomainError):
    """The key is good, its role does not reach."""

    def __init__(self, *, needed: str, role: str) -> None:
        super().__init__(needed, role)
        self.needed = needed
        self.role = role


class ScopeMissing(DomainError):
    """The key was made without a scope that this needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.scope = scope


class UnsupportedMediaType(DomainError):
    """The body is not declared as what this reads; ``told_in`` are headers of the answer."""

    def __init__(self, *, accepted: str, told_in: tuple[str, ...]) -> None:
        super().__init__(accepted)
        self.accepted = accepted
        self.told_in = told_in


class HeaderUnreadable(DomainError):
    """A header chooses between answers, and cannot be read (RFC 7089, 4.5.3)."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(name, rule)
        self.name = name
        self.rule = rule


class PhoneNumberNotAssigned(DomainError):
    """No assistant of the organization answers this number."""

    def __init__(self, number: str) -> None:
        super().__init__(number)
        self.number = number
