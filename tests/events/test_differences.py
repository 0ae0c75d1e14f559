"""Differences between settings, with secrets in them."""

from __future__ import annotations

import itertools

from hypothesis import given as for_all

from events.pointers import Tree, ancestors, apply, at, diff, is_reference, same, unapply
from tests.events.given import secret
from tests.events.strategies import modest
from tests.events.test_three_way import TRIPLES


@modest
@for_all(TRIPLES)
def test_a_difference_applied_to_one_tree_gives_the_other_with_references_too(
    trees: tuple[Tree, Tree, Tree],
) -> None:
    for one, other in itertools.permutations(trees, 2):
        changes = diff(one, other)
        assert same(apply(changes, one), other)
        assert same(unapply(changes, other), one)
        for path, change in changes.items():
            assert same(change.before, at(one, path))
            assert same(change.after, at(other, path))
            for above in ancestors(path):  # a reference is one value
                assert not is_reference(at(one, above))
                assert not is_reference(at(other, above))


def test_a_rotated_secret_is_one_change_and_not_one_inside_of_its_reference() -> None:
    one, other = ({"a": {"key": secret(name)}} for name in ("old", "new"))
    assert list(diff(one, other)) == ["/a/key"]
