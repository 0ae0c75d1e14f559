"""What sealing costs, in one run: ``python -m tests.benchmarks.sealing``.

Prints a table of medians: a secret sealed and opened, and a PATCH with and without secrets
decided, sealed and committed (batches of 64 in one durable transaction, no HTTP).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from app.services import utc_now
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import Key, open_vault
from app.vault.sealing import Sealed, make_reference, seal_row
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from events.commands import ChangeSettings, CreateAssistant
from events.secrets.values import Plain
from tests.conftest import make_organizations
from tests.databases import config_of, writing_engine

RUNS = 7
BATCH = 64
CALLER = Caller(organization_id=1, actor=Actor(type="user", id=1, name="bench", user_id=1))


def _median(work: Callable[[], None], times: int) -> float:
    """Microseconds for one of ``times`` repetitions, the median of several runs."""
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) / times * 1e6)
    return statistics.median(taken)


def main() -> None:
    """Measure, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.db")
        make_organizations(path, 1)
        safe = open_vault(config_of(path))
        engine = writing_engine(path)
        numbers = count()

        def batch(body: Callable[[int], dict[str, object]]) -> None:
            with engine.begin() as connection:
                unit = UnitOfWork(connection, safe, utc_now)
                for _ in range(BATCH):
                    patch = read_patch(body(next(numbers))).tree
                    command = ChangeSettings(patch=patch, cause=Cause(type="patch"))
                    unit.handle(CALLER, 1, command)
                unit.flush()

        with engine.begin() as connection:
            unit = UnitOfWork(connection, safe, utc_now)
            unit.handle(CALLER, None, CreateAssistant(patch=read_create({"name": "x"}).tree))
            unit.flush()

        key = Key("bench", bytes(32))
        sealed = Sealed(Plain("sk-0123456789abcdef0123456789abcdef"), ("api_keys", "a"))

        def refer() -> None:
            for _ in range(1000):
                make_reference(sealed.plain, 1)

        def seal() -> None:
            for _ in range(1000):
                seal_row(key, 1, 1, f"1.{next(numbers)}", sealed)

        rows = [
            ("reference of a secret", _median(refer, 1000)),
            ("encryption of a secret", _median(seal, 1000)),
            ("PATCH of one number", _median(lambda: batch(_number), BATCH)),
            ("PATCH of one secret", _median(lambda: batch(_one_secret), BATCH)),
            ("PATCH of ten secrets", _median(lambda: batch(_ten_secrets), BATCH)),
        ]
        engine.dispose()
    print("| | microseconds |\n|---|---|")  # noqa: T201  # the table is what this is for
    for name, micros in rows:
        print(f"| {name} | {micros:.1f} |")  # noqa: T201  # as above


def _number(number: int) -> dict[str, object]:
    return {"llm_settings": {"max_tokens": number}}


def _one_secret(number: int) -> dict[str, object]:
    return {"api_keys": {"a": f"sk-{number:032}"}}


def _ten_secrets(number: int) -> dict[str, object]:
    return {"api_keys": {f"k{one}": f"sk-{number:032}" for one in range(10)}}


if __name__ == "__main__":
    main()
