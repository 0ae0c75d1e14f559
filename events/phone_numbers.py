"""Phone numbers in E.164 form: how a request may write them, and where events keep what is set."""

from __future__ import annotations

import re

from events import pointers
from events.errors import FieldError, InvalidSettings, Location
from events.pointers import Change, Changes

E164 = r"^\s*\+[0-9]{7,15}\s*$"  # the rule of the published API; blanks around it do not count
_NUMBER = re.compile(r"\+[0-9]{7,15}")
_RULE = "Input should be a phone number in E.164 form, such as +14155551234"


def known(text: str) -> str | None:
    """A number as it is stored; None for a text that is no number, which nobody has."""
    number = text.strip()
    return number if _NUMBER.fullmatch(number) else None


def read(text: str, loc: Location) -> str:
    """A number as it is stored; raises ``InvalidSettings`` for a text that is no number."""
    number = known(text)
    if number is None:
        raise InvalidSettings((FieldError(loc=loc, msg=_RULE, type="phone_number"),))
    return number


def read_new(text: str, loc: Location) -> str:
    """As ``read``, for a number that is to be stored: it must be possible in its country.

    It must also be written as its country's numbers are: without a trunk prefix such as 0.
    """
    number = read(text, loc)
    if (rule := _broken_rule(number)) is not None:
        raise InvalidSettings((FieldError(loc=loc, msg=rule, type="phone_number_of_no_country"),))
    return number


def _broken_rule(number: str) -> str | None:
    """What is wrong with a number of its country; None for nothing."""
    import phonenumbers  # noqa: PLC0415  # its metadata is large, and numbers are rarely added

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return "No country has this calling code"
    if not phonenumbers.is_possible_number(parsed):
        return "This country's numbers have another length"
    usual = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return None if usual == number else f"Input should be {usual}: that is its E.164 form"


def changes(number: str, member: str, change: Change) -> Changes:
    """A change of a member of a phone number, by its path."""
    return {pointers.join(("phone_numbers", number, member)): change}


FRIENDLY_NAME, ASSISTANT = "friendly_name", "assistant_id"  # the members
