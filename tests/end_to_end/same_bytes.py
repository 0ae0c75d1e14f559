"""Whether another checkout answers and stores the same: ``python -m tests.end_to_end.same_bytes``.

``... same_bytes CHECKOUT [COUNT]`` sends the same requests to the server of a checkout, which has
its own ``.venv``, and to this one's: 4,000 by default, which make 2,000 events. Both begin with
copies of a database that the other checkout made. It prints how many answers and rows there are and
how many differ, byte for byte, and each kind of difference with an example.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

from msgspec import Struct, field

from tests.forking import ROOT

_COUNT = 4000
_PROGRAM = Path(__file__).with_name("recorded.py")
_NUMBER = re.compile(r"\d+")
_SHOWN = 160  # characters of an example
Difference = tuple[str, str]  # its kind, and an example


class Compared(Struct):
    """How many of a kind there are, and those that differ."""

    total: int = 0
    differ: int = 0
    differences: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, found: Iterable[Difference]) -> Self:
        """Count one more."""
        different = list(found)
        self.total += 1
        self.differ += bool(different)
        for kind, example in different:
            self.differences[kind].append(example)
        return self


def record(checkout: Path, folder: Path, *arguments: str) -> Any:
    """What the program says in a checkout, of the database in a folder."""
    what, *others = arguments
    python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
    with _PROGRAM.open("rb") as program:
        run = subprocess.run(
            [python, "-", what, str(folder / "same.db"), *others],
            cwd=checkout,
            stdin=program,
            stdout=subprocess.PIPE,
            check=True,
        )
    return json.loads(run.stdout.splitlines()[-1])


def compare(other: Path, count: int) -> dict[str, Compared]:
    """The answers and each table, of another checkout and of this one."""
    with tempfile.TemporaryDirectory() as name:
        made, copy = Path(name, "made"), Path(name, "copy")
        made.mkdir()
        keys = record(other, made, "make")
        shutil.copytree(made, copy)
        start = datetime.now(UTC) + timedelta(hours=1)  # after the organization was made
        told = ("record", str(count), start.isoformat(), json.dumps(keys))
        return differences(record(other, made, *told), record(ROOT, copy, *told))


def differences(theirs: Any, ours: Any) -> dict[str, Compared]:
    """What two records do not share."""
    answers = Compared()
    for one, two in zip(theirs["answers"], ours["answers"], strict=True):
        answers.add(_of_answers(one, two))
    found = {"answers": answers}
    for name in sorted(theirs["tables"].keys() | ours["tables"].keys()):
        rows = found[f"rows of {name}"] = Compared()
        pair = (record["tables"].get(name, []) for record in (theirs, ours))
        for one, two in zip_longest(*pair, fillvalue={}):
            rows.add(_of_members("", one, two))
    return found


def _of_answers(one: Any, two: Any) -> Iterator[Difference]:
    request, *shown = one
    for name, theirs, ours in zip(("status", "header", "body"), shown, two[1:], strict=True):
        if isinstance(theirs, dict):
            found = _of_members(f"{name} ", theirs, ours)
        else:
            found = _of_texts(name, theirs, ours)
        of = _NUMBER.sub("N", request.partition("?")[0])
        yield from ((f"{of}, {kind}", f"{request}: {example}") for kind, example in found)


def _of_members(before: str, one: dict[str, Any], two: dict[str, Any]) -> Iterator[Difference]:
    for name in sorted(one.keys() | two.keys()):
        yield from _of_texts(f"{before}{name}", one.get(name), two.get(name))


def _of_texts(kind: str, one: Any, two: Any) -> Iterator[Difference]:
    if one == two:
        return
    if one is None or two is None:
        yield (
            f"{kind}, only {'now' if one is None else 'before'}",
            _cut(two if one is None else one),
        )
        return
    start = next(
        (at for at, pair in enumerate(zip(str(one), str(two), strict=False)) if pair[0] != pair[1]),
        min(len(str(one)), len(str(two))),
    )
    start = max(start - 40, 0)
    yield kind, f"{_cut(str(one)[start:])} | {_cut(str(two)[start:])}"


def _cut(value: Any) -> str:
    return str(value)[:_SHOWN]


def main() -> int:
    """Print it; 1 where something differs."""
    _, checkout, *count = sys.argv
    found = compare(Path(checkout).resolve(), int(count[0]) if count else _COUNT)
    for name, compared in found.items():
        print(f"{name}: {compared.total}, {compared.differ} differ")  # noqa: T201  # what it is for
        for kind, examples in compared.differences.items():
            print(f"  {kind}: {len(examples)}\n    {examples[0]}")  # noqa: T201  # as above
    return int(any(compared.differ for compared in found.values()))


if __name__ == "__main__":
    sys.exit(main())
