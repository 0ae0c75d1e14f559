"""Types that settings share.

Marks (``msgspec.Meta.extra``) say what a type cannot:

- ``secret``       the value is a credential: sealed before it is an event, masked when shown
- ``free_form``    a map that takes any member; names that speak of credentials are secret
- ``replace``      a free-form map whose members are replaced whole instead of merged
- ``open``         a typed object that takes unknown members as well
- ``null``         what null means in a body where it is no value: ``ignored`` or ``defaults``
- ``reads``        how a value in a body is converted: ``trimmed``, ``phone_numbers``, ``schema``
- ``natural_key``  members that tell which element of a list is which
- ``group``        the group in which a page shows a setting; without one, the last
- ``label``        what people call a setting; ``about`` gives it, with a description
- ``unit``         the unit of a number, such as "ms"
- ``effect``       when a call that is running can follow a change: see ``Effect``
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from events.limits import MAX_REASON


def about(label: str, description: str = "", unit: str = "") -> Meta:
    """What people call a setting, one sentence about it, and the unit of its value.

    The description is the API's, too; groups of settings have none but that of their Struct.
    """
    extra = {"label": label} | ({"unit": unit} if unit else {})
    return Meta(description=description or None, extra=extra)


# A reference to a version other than its number (``app.assistants.references`` reads it).
VERSION_NAME = "^(?:latest|-?[0-9]+|label:[^/]*)$"
VersionName = int | Annotated[str, Meta(extra_json_schema={"pattern": VERSION_NAME})]
# An E.164 number, with separators that are removed.
_SEPARATED = r"[\s\-.()\[\]{}]*"
_E164 = rf"^{_SEPARATED}\+{_SEPARATED}[1-9](?:{_SEPARATED}[0-9]){{6,14}}{_SEPARATED}$"
PhoneNumber = Annotated[str, Meta(extra_json_schema={"pattern": _E164})]
# A name that is not empty without the blanks around it.
NOT_BLANK = {"pattern": r"[^\s\x00-\x1f\x85]"}
Secret = Annotated[str, Meta(extra={"secret": True}, extra_json_schema={"x-secret": True})]
FreeForm = Annotated[dict[str, Any], Meta(extra={"free_form": True})]
Amount = Annotated[int, Meta(ge=0)]
Moment = Annotated[datetime, Meta(tz=True)]
Slots = Annotated[int, Meta(ge=1, le=1000)]
Reason = Annotated[str, Meta(max_length=MAX_REASON)]


# When a change takes effect in a call that is running, the soonest first: at once, with what the
# assistant says next, or not at all, but in the next call. A setting without a mark has that of the
# object around it. At the top the default is the last: no runtime promises more than it must.
Effect = Literal["live", "next_turn", "next_call"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
LIVE, NEXT_TURN, NEXT_CALL = (Meta(extra={"effect": effect}) for effect in EFFECTS)


class SecretRecord(Struct, frozen=True, kw_only=True):
    """Where secrets are sent. A change keeps a secret only if its addresses stay the same.

    Secrets stand at or below the JSON Pointer ``secrets``, and their addresses at or below the
    pointers ``sent_to``. There, ``*`` is the same position in a list as in ``secrets``.
    """

    secrets: str
    sent_to: tuple[str, ...]
    by_member: bool = False  # each object in the map is a record, with the plain members beside it
    providers: bool = True  # the name of a provider is an address, too
    may_shrink: bool = False  # a change may remove addresses: then the secret goes nowhere new
