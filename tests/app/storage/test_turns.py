"""Turns: places go round by organization, and none has more than its share."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.turns import TooManyReads, Turns

PLACES, SHARE, MOST = 4, 2, 3
Item = tuple[int, int]  # its organization, and a number of its own
_STEPS = st.lists(
    st.tuples(st.sampled_from(("enter", "leave", "withdraw")), st.integers(1, 4)), max_size=80
)


class Table:
    """Items that hold places or wait for them, each named by its organization and a number."""

    def __init__(self, places: int = PLACES, share: int = SHARE, most: int = MOST) -> None:
        self.turns: Turns[Item] = Turns(places, share=share, most_waiting=most)
        self.held: list[Item] = []
        self.waiting: list[Item] = []
        self._count = 0

    def enter(self, organization_id: int, *, goes_on: bool = False) -> Item:
        self._count += 1
        item = (organization_id, self._count)
        takes_place = self.turns.enter(organization_id, item, goes_on=goes_on)
        (self.held if takes_place else self.waiting).append(item)
        return item

    def leave(self, organization_id: int) -> Item | None:
        self.held.remove(next(item for item in self.held if item[0] == organization_id))
        following = self.turns.leave(organization_id)
        if following is not None:
            self.waiting.remove(following)
            self.held.append(following)
        return following

    def count(self, items: list[Item]) -> Counter[int]:
        return Counter(organization_id for organization_id, _ in items)


@given(_STEPS)
def test_no_place_is_free_that_somebody_may_take_and_nobody_has_more_than_the_share(
    steps: list[tuple[str, int]],
) -> None:
    table = Table()
    for step, one in steps:
        waits = table.count(table.waiting)
        if step == "enter" and waits[one] == MOST:
            with pytest.raises(TooManyReads):
                table.enter(one)
        elif step == "enter":
            table.enter(one)
        elif step == "leave" and table.count(table.held)[one]:
            table.leave(one)
        elif step == "withdraw" and waits[one]:
            item = next(item for item in table.waiting if item[0] == one)
            assert table.turns.withdraw(one, item)
            table.waiting.remove(item)
        held = table.count(table.held)
        assert held.total() <= PLACES
        assert max(held.values(), default=0) <= SHARE
        if held.total() < PLACES:
            assert all(held[waiting] == SHARE for waiting, _ in table.waiting)


def test_who_waits_for_many_does_not_come_before_who_waits_for_one() -> None:
    table = Table(places=1, share=1)
    for one in (1, 1, 1, 1, 2, 3):
        table.enter(one)
    order = [table.leave(one) for one in (1, 1, 2, 3, 1, 1)]
    assert [item and item[0] for item in order] == [1, 2, 3, 1, 1, None]


def test_the_items_of_an_organization_keep_their_order() -> None:
    table = Table(places=1, share=1)
    _, *waiting = (table.enter(1) for _ in range(4))
    assert [table.leave(1) for _ in waiting] == waiting


def test_what_has_begun_waits_for_its_turn_however_many_others_do() -> None:
    table = Table(places=1, share=1, most=1)
    _, waiting = table.enter(1), table.enter(1)
    with pytest.raises(TooManyReads):
        table.enter(1)
    going_on = table.enter(1, goes_on=True)
    assert [table.leave(1), table.leave(1)] == [waiting, going_on]


def test_an_item_that_has_had_its_turn_cannot_be_withdrawn() -> None:
    table = Table(places=1, share=1)
    held, waiting = table.enter(1), table.enter(1)
    assert not table.turns.withdraw(1, held)
    assert table.leave(1) == waiting
    assert not table.turns.withdraw(1, waiting)
