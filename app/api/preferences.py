"""What the client prefers (RFC 7240), and where a request may ask for a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app.api.parameter_values import invalid_query
from events.bodies import parsing
from events.bodies.validation import describe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from events.errors import Location

DRY_RUN = "dry_run"  # the query parameter and the member of a body


class Preferences(Struct, frozen=True, kw_only=True):
    """The preferences that this service knows; it ignores others, as it may."""

    strict: bool = False  # what cannot be done as sent, such as an unknown member, is an error
    lenient: bool = False  # it is left out, and the answer's body names it
    minimal: bool = False  # no body in the answer
    dry_run: bool = False  # show what would happen, and do nothing

    @property
    def applied(self) -> dict[str, str]:
        """The header that names the preferences which were honoured."""
        names = [
            name
            for is_honoured, name in (
                (self.strict, "handling=strict"),
                (self.lenient, "handling=lenient"),
                (self.minimal and not self.dry_run, "return=minimal"),
                (self.dry_run, "dry-run"),
            )
            if is_honoured
        ]
        return {"preference-applied": ", ".join(names)} if names else {}


def read_preferences(lines: Iterable[str]) -> Preferences:
    """The preferences in the lines of ``Prefer``; quotes, blanks and parameters do not count."""
    names = {
        preference.partition(";")[0].replace(" ", "").replace('"', "").lower()
        for preference in ",".join(lines).split(",")
    }
    return Preferences(
        strict="handling=strict" in names,
        lenient="handling=lenient" in names and "handling=strict" not in names,
        minimal="return=minimal" in names,
        dry_run="dry-run" in names,
    )


def dry_run_in_query(values: Iterable[str]) -> bool:
    """Whether the query asks for a dry run; raises ``InvalidSettings`` for no boolean."""
    try:
        return any(msgspec.convert(text, bool, strict=False) for text in values)
    except msgspec.ValidationError:
        kind, message = describe("Expected `bool`, got `str`")
        raise invalid_query(DRY_RUN, message, kind) from None


_IN_JSON = f'"{DRY_RUN}"'.encode()


def dry_run_in_body(body: bytes) -> Location | None:
    """The member of a body that asks for a dry run; raises ``MalformedJSON``."""
    # As in nearly all bodies: the name is not there, nor is a letter of ASCII written as an escape.
    if _IN_JSON not in body and b"\\u00" not in body:
        return None
    value = parsing.parse(body)
    # False, 0 and null ask for none.
    return ("body", DRY_RUN) if isinstance(value, dict) and value.get(DRY_RUN) else None
