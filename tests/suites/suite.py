"""The tables of ``README.md``: what each suite holds, and what is refused for a reason.

The tests read what they expect from there, so the page cannot say another thing than they do.
"""

from __future__ import annotations

from pathlib import Path

SUITES = Path(__file__).parent


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    _, _, below = (SUITES / "README.md").read_text("utf-8").partition(f"\n## {heading}\n")
    section, _, _ = below.partition("\n## ")
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def refused(suite: str) -> dict[str, str]:
    """The cases of a suite that are refused for a reason, and the rule that they break."""
    return {case: rule for name, case, rule, _ in rows("Refused for a reason") if name == suite}


def counts(suite: str) -> tuple[int, int]:
    """How many cases a suite has, and how many of them are refused for a reason."""
    ((_, *numbers),) = [row for row in rows("Cases") if row[0] == suite]
    cases, as_said, otherwise = map(int, numbers)
    assert cases == as_said + otherwise
    return cases, otherwise
