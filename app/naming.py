"""The rules for names of organizations, users and keys, for labels, and for e-mail addresses."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from msgspec import Meta

from app.escaping import unseen
from events.errors import FieldError, InvalidSettings, Location

MOST = 100
MOST_OF_LABEL = 80
# The rule is ``clean_name``'s; this describes it.
Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MOST})]

# Escaped when they are shown, and yet allowed in names: blanks, and characters that are newer than
# this Python.
_HARMLESS = frozenset(("Zs", "Cn"))
_SEEN = frozenset("LNPSM")  # the categories of characters that are visible


def clean_name(text: str, loc: Location = ("body", "name")) -> str:
    """A valid name, without blanks around it; raises ``InvalidSettings``."""
    name = text.strip()
    if (error := name_error(text, loc)) is not None:
        raise InvalidSettings((error,))
    return name


def spellings(text: str) -> list[str]:
    """The forms in which a name may be stored: as given, trimmed, composed, and decomposed."""
    name = text.strip()
    forms = (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return list(dict.fromkeys((text, name, *forms)))


def clean_label(text: str, loc: Location = ("body", "label")) -> str:
    """A valid label of a version, without blanks around it; raises ``InvalidSettings``.

    A label follows the rule for names. It also stands in paths and names one version, so it holds
    no slash and has only one spelling.
    """
    label = text.strip()
    error = name_error(text, loc, MOST_OF_LABEL)
    if error is None and "/" in label:
        error = FieldError(loc=loc, msg="Input should hold no '/'", type="value_error")
    if error is None and not unicodedata.is_normalized("NFC", label):
        message = "Input should be in Unicode's normal form NFC"
        error = FieldError(loc=loc, msg=message, type="value_error")
    if error is not None:
        raise InvalidSettings((error,))
    return label


def name_error(text: str, loc: Location, most: int = MOST) -> FieldError | None:
    """The error of a name; None for a valid one."""
    name = text.strip()
    kinds = {unicodedata.category(character) for character in name}
    if not {kind[0] for kind in kinds} & _SEEN:
        return FieldError(loc=loc, msg="Input should not be blank", type="string_too_short")
    if len(name) > most:
        message = f"Input should have at most {most} characters"
        return FieldError(loc=loc, msg=message, type="string_too_long")
    if {unicodedata.category(character[0]) for character in unseen(name)} - _HARMLESS:
        message = "Input should hold no line breaks, no control characters and no invisible ones"
        return FieldError(loc=loc, msg=message, type="value_error")
    return None


def clean_email(text: str | None, loc: Location = ("body", "email")) -> str | None:
    """An e-mail address in its normal form; raises ``InvalidSettings``. None stays None.

    Whether it can be delivered to is not checked.
    """
    if text is None:
        return None
    from email_validator import (  # noqa: PLC0415  # slow to import, and few processes need it
        EmailNotValidError,
        validate_email,
    )

    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError as error:
        message = f"Input should be an e-mail address: {error}"
        raise InvalidSettings((FieldError(loc=loc, msg=message, type="value_error"),)) from None
