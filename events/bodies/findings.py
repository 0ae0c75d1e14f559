"""What the reading of one body brings to light: broken rules, unknown members, secrets."""

from __future__ import annotations

from events.errors import FieldError, Location
from events.pointers import MARK, join

_MOST_SECRETS = 1000


class Findings:
    """Collects what the readers of one body find. ``ignored`` are JSON Pointers."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.ignored: list[str] = []
        self._secrets = 0

    def error(self, loc: Location, kind: str, message: str) -> None:
        """Note a broken rule.

        All of them are noted: an error about a value that was sent back unchanged does not count,
        and there may be many of those before one that does.
        """
        self.errors.append(FieldError(loc=loc, msg=message, type=kind))

    def ignore(self, loc: Location) -> None:
        """Note a member that is left out."""
        self.ignored.append(join(tuple(map(str, loc[1:]))))

    def count_secret(self) -> None:
        """Note one more secret. Sealing takes time, so that one body may hold only so many."""
        self._secrets += 1
        if self._secrets == _MOST_SECRETS + 1:
            message = f"A body may hold at most {_MOST_SECRETS} secrets"
            self.error(("body",), "too_many_secrets", message)

    def is_storable(self, name: str, loc: Location) -> bool:
        """Whether a member may have this name; a reserved one is a broken rule."""
        if name != MARK:
            return True
        self.error(loc, "reserved_name", f"The name {MARK} is reserved")
        return False
