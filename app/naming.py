"""Names of organizations, users and keys, and e-mail addresses: one rule, whoever gives them."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from msgspec import Meta

from events.errors import FieldError, InvalidSettings, Location

MOST = 100
# The rule is ``clean_name``'s; this describes it.
Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MOST})]

# Controls, halves of characters, ends of lines and of paragraphs.
_FORBIDDEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
# Marks that turn the direction of what follows, and so its meaning on a screen.
_TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Characters without a width: with them, two names look like one.
_UNSEEN = frozenset("\u200b\u2060\ufeff")
_SEEN = frozenset("LNPSM")  # the kinds of character that leave something to be seen


def clean_name(text: str, loc: Location = ("body", "name")) -> str:
    """A name without blanks around it; raises ``InvalidSettings``."""
    name = text.strip()
    if (error := name_error(text, loc)) is not None:
        raise InvalidSettings((error,))
    return name


def name_error(text: str, loc: Location) -> FieldError | None:
    """What is wrong with a name; None where nothing is."""
    name = text.strip()
    kinds = {unicodedata.category(character) for character in name}
    if not {kind[0] for kind in kinds} & _SEEN:
        return FieldError(loc=loc, msg="Input should not be blank", type="string_too_short")
    if len(name) > MOST:
        message = f"Input should have at most {MOST} characters"
        return FieldError(loc=loc, msg=message, type="string_too_long")
    if kinds & _FORBIDDEN or (_TURNS | _UNSEEN).intersection(name):
        message = "Input should hold no line breaks, no control characters and no invisible ones"
        return FieldError(loc=loc, msg=message, type="value_error")
    return None


def clean_email(text: str | None, loc: Location = ("body", "email")) -> str | None:
    """An e-mail address in its usual form, None for none; raises ``InvalidSettings``.

    Nobody is asked whether it can be delivered to.
    """
    if text is None:
        return None
    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError as error:
        message = f"Input should be an e-mail address: {error}"
        raise InvalidSettings((FieldError(loc=loc, msg=message, type="value_error"),)) from None
