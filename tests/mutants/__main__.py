"""Mutants that the tests miss: ``python -m tests.mutants [--sample N] [--seed S] [NAME...]``.

``NAME`` is a group of ``modules.py`` or a module's path; all groups without. ``--sample`` takes so
many mutants of each group. What survives is printed, and a row for each group at the end.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator

from tests.mutants.modules import GROUPS
from tests.mutants.mutations import Mutant, mutants_of
from tests.mutants.running import Runs, running


def survivors(
    runs: Runs, modules: dict[str, str], *, sample: int | None, seed: int
) -> Iterator[tuple[Mutant, bool]]:
    """The mutants of modules, each with whether it survives."""
    for mutant in mutants_of(modules, sample, seed):
        result = runs.run(mutant, modules[mutant.module])
        word = result.killed_by or "SURVIVED"
        print(f"{result.seconds:5.1f} s  {mutant}\n         {word}", flush=True)  # noqa: T201  # the list is what this is for
        yield mutant, not result.killed_by


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(GROUPS))
    parser.add_argument("--sample", type=int, help="so many mutants of each group; else all")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    return parser.parse_args()


def _chosen(names: list[str]) -> dict[str, dict[str, str]]:
    tests = {module: tests for modules in GROUPS.values() for module, tests in modules.items()}
    return {name: GROUPS.get(name) or {name: tests[name]} for name in names or GROUPS}


def main() -> None:
    """Run the mutants of what is named, or all."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started, too
    wanted = _read()
    rows = []
    with running() as runs:
        for name, modules in _chosen(wanted.names).items():
            started = time.monotonic()
            found = list(survivors(runs, modules, sample=wanted.sample, seed=wanted.seed))
            alive = sum(survives for _, survives in found)
            minutes = (time.monotonic() - started) / 60
            rows.append(
                f"| {name} | {len(found)} | {len(found) - alive} | {alive} | {minutes:.0f} |"
            )
    print("| group | mutants | killed | survived | minutes |\n|---|---|---|---|---|")  # noqa: T201  # as above
    print(*rows, sep="\n")  # noqa: T201  # as above


if __name__ == "__main__":
    main()
