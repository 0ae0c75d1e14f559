"""The mutants of a module: its source with one small change each, by the operators of mutmut.

mutmut itself mutates only functions without a decorator, since it keeps all mutants in one file and
chooses one when the function is called. Here each mutant is a file of its own, so that constants,
fields and properties are mutated, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import islice, takewhile
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from msgspec import Struct
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import OPERATORS_TYPE, mutation_operators, operator_string
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parent.parent.parent


class Mutant(Struct, frozen=True, kw_only=True):
    """A module with one change; ``before`` and ``after`` are the lines that differ."""

    module: str  # its path below the root
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.before}  ->  {self.after}"


def mutants_of(modules: Iterable[str], sample: int | None = None, seed: int = 0) -> list[Mutant]:
    """All mutants of modules, or a sample of so many, in the order of their lines."""
    changes = [change for module in modules for change in _changes(module)]
    if sample is not None and sample < len(changes):
        chosen = sorted(random.Random(seed).sample(range(len(changes)), sample))
        changes = [changes[number] for number in chosen]
    made = (_mutant(*change) for change in changes)
    return list({mutant.source: mutant for mutant in made}.values())  # some are the same


def _changes(module: str) -> list[tuple[str, cst.Module, Mutation]]:
    visitor = _Visitor(_OPERATORS, IgnoredCode(set(), set(), set()))
    tree = MetadataWrapper(cst.parse_module((ROOT / module).read_text("utf-8"))).visit(visitor)
    return [(module, tree, mutation) for mutation in visitor.mutations]


def _one_text(node: cst.BaseString) -> Iterable[cst.BaseString]:
    """A text's first mutant; the two in other cases of letters say no more."""
    return islice(operator_string(node), 1)


_OPERATORS: OPERATORS_TYPE = [
    (kind, _one_text if operator is operator_string else operator)
    for kind, operator in mutation_operators
]


class _Visitor(MutationVisitor):
    """Mutates decorated functions, too, and nothing that the type checker decides."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return False
        is_for_types = isinstance(node, cst.If) and _is_named(node.test, "TYPE_CHECKING")
        is_type = isinstance(node, cst.Call) and _is_named(node.func, "TypeVar", "cast")
        is_checked = isinstance(node, cst.Arg) and _is_named(node.keyword, "frozen", "kw_only")
        return is_for_types or is_type or is_checked or super()._skip_node_and_children(node)


def _is_named(node: cst.CSTNode | None, *names: str) -> bool:
    return isinstance(node, cst.Name) and node.value in names


def _mutant(module: str, tree: cst.Module, mutation: Mutation) -> Mutant:
    changed = tree.deep_replace(mutation.original_node, mutation.mutated_node)
    assert isinstance(changed, cst.Module)
    old, new = tree.code.splitlines(), changed.code.splitlines()
    line = _alike(old, new)
    end = _alike(old[line:][::-1], new[line:][::-1])
    return Mutant(
        module=module,
        line=line + 1,
        before=_joined(old[line : len(old) - end]),
        after=_joined(new[line : len(new) - end]),
        source=changed.code,
    )


def _alike(old: list[str], new: list[str]) -> int:
    """How many lines are the same from the start."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
