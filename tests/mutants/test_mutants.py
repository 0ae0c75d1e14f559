"""Changes of the code that must not be fail a test; ``README.md`` lists those that fail none."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.__main__ import survivors
from tests.mutants.modules import GROUPS
from tests.mutants.mutations import ROOT, Mutant
from tests.mutants.running import Runs, running
from tests.mutants.waiting import replace_functions

_SHORT = " ".join(
    f"tests/{name}.py"
    for name in (
        "events/test_merkle",
        "app/accounts/test_permissions",
        "app/accounts/test_tokens",
        "app/transactions/test_waiting_work",
        "app/vault/test_stored_forms",
    )
)
NOTICED = {
    "events/merkle.py": (
        "if size in (0, later):",
        "if size not in (0, later):",
    ),
    "app/accounts/permissions.py": (
        "elif value and role < _NEEDS[name]:",
        "elif value and role <= _NEEDS[name]:",
    ),
    "app/accounts/tokens.py": (
        "return organization_id if organization_id <= MAX_ID else None",
        "return organization_id if organization_id < MAX_ID else None",
    ),
    "app/transactions/waiting_work.py": (
        "if count and (count >= limit.count or size > limit.size):",
        "if count and (count >= limit.count and size > limit.size):",
    ),
    "app/vault/sealing.py": (
        'return ("secret", *ids, key.key_id)',
        'return ("XXsecretXX", *ids, key.key_id)',
    ),
}
# What the error is given beside its members is in no answer and no line of the log.
UNNOTICED = (
    "app/transactions/waiting_work.py",
    ("super().__init__(limit)", "super().__init__(None)"),
)


def mutant_of(module: str, change: tuple[str, str]) -> Mutant:
    """By hand, since to make all mutants of a module takes seconds."""
    source = (ROOT / module).read_text("utf-8")
    before, after = change
    assert source.count(before) == 1
    source = source.replace(before, after)
    return Mutant(module=module, line=0, before=before, after=after, source=source)


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with running() as started:
        yield started


@pytest.mark.parametrize("module", NOTICED)
def test_a_change_that_must_not_be_fails_a_test(runs: Runs, module: str) -> None:
    assert "test_" in runs.run(mutant_of(module, NOTICED[module]), _SHORT).killed_by


def test_control_a_change_that_nobody_can_see_fails_none(runs: Runs) -> None:
    assert not runs.run(mutant_of(*UNNOTICED), _SHORT).killed_by


LAMBDAS = """
one = lambda: 1
LIMIT = (
    5
)
two = lambda: 2
"""
CHANGED = {
    "a function": ("lambda: 2", "lambda: 3", True, (1, 5, 3)),
    "a constant": ("5", "6", False, (1, 5, 2)),
    "a constant, which moves the functions after it": ("(\n    5\n)", "6", False, (1, 5, 2)),
    "a function that is not there any more": ("two = lambda: 2", "two = None", False, (1, 5, 2)),
}


@pytest.mark.parametrize("change", CHANGED)
def test_functions_alone_are_changed_in_memory_whatever_their_names(
    tmp_path: Path, change: str
) -> None:
    before, after, is_done, values = CHANGED[change]
    module = types.ModuleType("lambdas")
    module.__file__ = str(tmp_path / "lambdas.py")
    (tmp_path / "lambdas.py").write_text(LAMBDAS, "utf-8")
    exec(compile(LAMBDAS, module.__file__, "exec", dont_inherit=True), vars(module))  # noqa: S102  # as an import does
    assert replace_functions(module, LAMBDAS.replace(before, after)) is is_done
    assert (module.one(), module.LIMIT, module.two()) == values


@pytest.mark.long
@pytest.mark.parametrize("group", GROUPS)
def test_what_survives_of_a_group_is_justified(runs: Runs, group: str) -> None:
    """``pytest -m long tests/mutants``: an hour. ``python -m tests.mutants`` runs all mutants."""
    found = survivors(runs, GROUPS[group], sample=60, seed=1)
    readme = (Path(__file__).parent / "README.md").read_text("utf-8")
    unjustified = [m for m, survives in found if survives and m.after not in readme]
    assert unjustified == []
