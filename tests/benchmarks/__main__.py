"""All of it in one table: ``python -m tests.benchmarks [--quick] [--long] [NAME...]``.

``--on`` names the engine. ``--quick`` is for a look: short
rounds. ``--long`` takes a million events.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from functools import partial

import structlog

from tests.benchmarks import (
    asking,
    export,
    fan_out,
    flooding,
    folding,
    growing,
    layers,
    load,
    pages,
    places,
    writing,
)
from tests.benchmarks.load import Row
from tests.databases import KINDS

Measured = Callable[[], Iterator[Row]]


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_chosen(0, 0, 0)))
    parser.add_argument("--quick", action="store_true", help="short rounds, for a look")
    parser.add_argument("--long", action="store_true", help="a million events")
    parser.add_argument("--on", choices=KINDS, default="sqlite", help="the engine")
    return parser.parse_args()


def _chosen(seconds: float, rounds: int, events: int) -> dict[str, Measured]:
    return {
        "assistant": partial(asking.one_assistant, seconds, rounds),
        "just-changed": partial(asking.just_changed, seconds, rounds),
        "list": partial(asking.many_assistants, seconds, rounds),
        "history": partial(asking.history, seconds, rounds),
        "writing": partial(writing.writing, rounds),
        "folding": partial(folding.folding, rounds, events),
        "fold-again": partial(folding.fold_again, rounds, events),
        "export": partial(export.exports, seconds, rounds, events),
        "growth": partial(growing.growth, seconds, rounds, events),
        "layers": partial(layers.layers, rounds),
        "fan-out": fan_out.fan_out,
        "pages": pages.pages,
        "flooding": partial(flooding.flooding, seconds, rounds),
    }


def main() -> None:
    """Measure what is named, or all, and print the table."""
    wanted = _read()
    level = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=level)  # new databases say that they have keys
    places.choose(wanted.on)
    measured = _chosen(
        1 if wanted.quick else 4,
        load.ROUNDS,
        1_000_000 if wanted.long else 100_000,
    )
    print(f"| {wanted.on}, {load.machine()} | measured | goal | |\n|---|---|---|---|", flush=True)  # noqa: T201  # the table is what this is for
    for name in wanted.names or measured:
        for row in measured[name]():
            print(f"| {row.what} | {row.measured} | {row.goal} | {row.beside} |", flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main()
