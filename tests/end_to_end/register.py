"""A register with versions, and whether a history of concurrent operations on it is linearizable.

The search is that of Wing and Gong, with Lowe's memory of what was tried ("Testing for
linearizability", 2017): an operation takes effect at one moment between its call and its return.
One without a return, because its server was killed, may take effect at any later moment, or never.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from msgspec import Struct, structs

Kind = Literal["read", "write", "compare and set", "refused"]


class Contents(Struct, frozen=True):
    """What the register holds."""

    version: int
    value: str


class Operation(Struct, frozen=True, kw_only=True):
    """A call and what it returned. Moments are seconds of one clock; each value is written once."""

    kind: Kind
    called: float
    returned: float = inf
    expected: int = 0  # the version that "compare and set" and "refused" name
    value: str = ""  # written or read
    version: int = 0  # after it; 0 if nobody saw it

    @property
    def is_known(self) -> bool:
        """Whether it returned."""
        return self.returned < inf

    def apply(self, held: Contents) -> Contents | None:
        """The contents after it; None if it cannot take effect on these."""
        if self.kind == "refused":  # it tells the version over which it was not made
            return held if held.version == self.version != self.expected else None
        if self.kind == "read":
            return held if held == Contents(self.version, self.value) else None
        if self.kind == "compare and set" and held.version != self.expected:
            return None
        after = Contents(held.version + 1, self.value)
        return after if self.version in {0, after.version} else None


def is_linearizable(history: list[Operation], start: Contents) -> bool:
    """Whether some order of the operations explains all that they returned."""
    operations = _with_what_was_seen(history)
    known = sum(1 << n for n, operation in enumerate(operations) if operation.is_known)
    tried: set[tuple[int, Contents]] = set()
    to_try = [(0, start)]  # the operations that took effect, as bits, and the contents after them
    while to_try:
        done, held = to_try.pop()
        if done & known == known:
            return True
        for number, after in _next(operations, done, held):
            further = (done | 1 << number, after)
            if further not in tried:
                tried.add(further)
                to_try.append(further)
    return False


def _with_what_was_seen(history: list[Operation]) -> list[Operation]:
    """In the order of their calls; what did not return has the version in which others saw it."""
    seen = {one.value: one.version for one in history if one.is_known and one.kind != "refused"}
    return [
        one if one.is_known else structs.replace(one, version=seen.get(one.value, 0))
        for one in sorted(history, key=lambda operation: operation.called)
    ]


def _next(operations: list[Operation], done: int, held: Contents) -> list[tuple[int, Contents]]:
    """Those that may be next, and the contents after them; the likeliest is the last.

    They were called before any other that is left returned. Of those that nobody saw, one will do:
    they can be exchanged, but for "compare and set", which has this one chance.
    """
    numbers = _called_before_a_return(operations, done)
    numbers.sort(key=lambda number: operations[number].returned, reverse=True)
    possible = [(n, after) for n in numbers if (after := operations[n].apply(held)) is not None]
    unseen = [(n, after) for n, after in possible if not operations[n].version]
    unseen.sort(key=lambda one: operations[one[0]].kind)  # "compare and set" before "write"
    return unseen[:1] + [(n, after) for n, after in possible if operations[n].version]


def _called_before_a_return(operations: list[Operation], done: int) -> list[int]:
    numbers: list[int] = []
    earliest = inf
    first = ((done + 1) & ~done).bit_length() - 1  # all before it are done
    for number in range(first, len(operations)):
        operation = operations[number]
        if operation.called > earliest:
            break
        if not done >> number & 1:
            numbers.append(number)
            earliest = min(earliest, operation.returned)
    return numbers
