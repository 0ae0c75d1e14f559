"""Which sequences and sizes a log has."""

from __future__ import annotations

from events.errors import DomainError


class BeyondLog(DomainError):
    """A request for a sequence or a size that the log does not have.

    ``name`` is the parameter that holds it; ``least`` and ``most`` are its bounds, inclusive.
    """

    def __init__(self, name: str, *, least: int, most: int) -> None:
        super().__init__(name, least, most)
        self.name = name
        self.least = least
        self.most = most


def within(name: str, value: int, least: int, most: int) -> int:
    """The value of a parameter, if its bounds allow it; raises ``BeyondLog``."""
    if not least <= value <= most:
        raise BeyondLog(name, least=least, most=most)
    return value
