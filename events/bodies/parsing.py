"""Parses JSON from clients. It must mean the same to every reader, and be storable everywhere.

RFC 8259 leaves open what duplicate names, NaN and huge integers mean. Where two readers differ, one
can be tricked, and a signature over the bytes proves nothing. So these are refused.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from events.errors import MalformedJSON
from events.limits import MOST_VALUES

MAX_DEPTH = 32
MAX_SAFE_INTEGER = 2**53  # beyond this, a JavaScript client reads another number


def parse(text: bytes, depth: int = 0) -> Any:
    """Decode one JSON text in UTF-8; ``depth`` is how many objects and lists are around it.

    Raises ``MalformedJSON`` with the broken rule and its position in characters.
    """
    try:
        value = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_raise_for_constant
        )
    except UnicodeDecodeError as error:
        raise MalformedJSON("the text is not valid UTF-8", error.start) from None
    except json.JSONDecodeError as error:
        raise MalformedJSON(f"JSON decode error: {error.msg}", error.pos) from None
    except RecursionError:
        raise MalformedJSON(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:  # an integer of more digits than Python converts
        raise MalformedJSON("an integer is beyond 2^53") from None
    _check(value, depth)
    if count(value) > MOST_VALUES:
        raise MalformedJSON(f"more than {MOST_VALUES} values")
    return value


def count(value: Any) -> int:
    """The number of values in a JSON value, itself included; names of members do not count."""
    members = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(count, members)) if isinstance(value, dict | list) else 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJSON("an object has the same member twice")
    return members


def _raise_for_constant(name: str) -> NoReturn:
    raise MalformedJSON(f"{name} is not a JSON number")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, dict | list) and depth == MAX_DEPTH:
        raise MalformedJSON(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check(member, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise MalformedJSON("a number is out of range")
    elif isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        raise MalformedJSON("an integer is beyond 2^53")


def _check_text(text: str) -> None:
    if "\0" in text or not _is_encodable(text):
        raise MalformedJSON("a string holds NUL or a lone surrogate")


def _is_encodable(text: str) -> bool:
    """Whether a text has no lone surrogate. A pattern would take ten times as long to find one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
