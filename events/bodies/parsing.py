"""JSON as we take it from the outside: one meaning, storable everywhere, or refused.

RFC 8259 leaves duplicate names, NaN and huge integers to the reader; two readers that
differ are a hole (and a signature over ambiguous bytes proves nothing).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from events.errors import MalformedJSON
from events.limits import MOST_VALUES

MAX_DEPTH = 32
MAX_SAFE_INTEGER = 2**53  # beyond it, a JavaScript client reads another number
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def parse(text: bytes, depth: int = 0) -> Any:
    """Decode one JSON text, which stands inside ``depth`` objects and lists.

    Raises ``MalformedJSON`` with the rule that is broken and the character position
    (0 where the parser does not tell).
    """
    try:
        value = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
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
    """How many values a JSON value is and holds; members and elements count, names do not."""
    members = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(count, members)) if isinstance(value, dict | list) else 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJSON("an object has the same member twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
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
    if _UNSTORABLE.search(text):
        raise MalformedJSON("a string holds NUL or a lone surrogate")
