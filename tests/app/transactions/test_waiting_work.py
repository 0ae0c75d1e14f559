"""Waiting work: organizations take turns, each keeps its order, and none may wait without limit."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from app.transactions import waiting_work
from app.transactions.waiting_work import Limit, TooManyWaiting, WaitingWork
from tests.forking import ROOT

FLOOD, OTHER = 1, 2
MOST = 128


class Piece(Struct, frozen=True):
    organization_id: int | None
    number: int
    size: int = 0
    is_alone: bool = False


def flooded() -> WaitingWork[Piece]:
    waiting: WaitingWork[Piece] = WaitingWork()
    for number in range(1000):
        waiting.put(Piece(FLOOD, number))
    waiting.put(Piece(OTHER, 0))
    return waiting


def test_another_organizations_work_is_in_the_batch_after_a_flood() -> None:
    batch = flooded().take(MOST)
    assert Piece(OTHER, 0) in batch[:2]
    assert len(batch) == MOST


def test_organizations_without_a_turn_in_a_full_batch_are_the_next() -> None:
    waiting: WaitingWork[Piece] = WaitingWork()
    for organization_id in range(MOST + 3):
        waiting.put(Piece(organization_id, 1))
        waiting.put(Piece(organization_id, 2))
    assert {work.number for work in waiting.take(MOST)} == {1}
    assert waiting.take(MOST)[:3] == [Piece(MOST + late, 1) for late in range(3)]


def test_a_batch_of_one_lane_has_one_organization_and_each_gets_its_turn() -> None:
    waiting: WaitingWork[Piece] = WaitingWork(1)
    for number in range(3):
        waiting.put(Piece(FLOOD, number))
    waiting.put(Piece(OTHER, 0))
    waiting.put(Piece(FLOOD, 3, is_alone=True))
    batches = [waiting.take(2) for _ in range(4)]
    assert [[(w.organization_id, w.number) for w in batch] for batch in batches] == [
        [(FLOOD, 0), (FLOOD, 1)],
        [(OTHER, 0)],
        [(FLOOD, 2)],
        [(FLOOD, 3)],
    ]
    assert len(waiting) == 0


def test_work_with_a_batch_of_its_own_shares_none_and_starves_nobody() -> None:
    waiting: WaitingWork[Piece] = WaitingWork()
    for number in range(2):
        waiting.put(Piece(FLOOD, number, is_alone=True))
    for number in range(3):
        waiting.put(Piece(OTHER, number))
    batches = [waiting.take(2) for _ in range(4)]
    assert [[(w.organization_id, w.number) for w in batch] for batch in batches] == [
        [(FLOOD, 0)],
        [(OTHER, 0), (OTHER, 1)],
        [(FLOOD, 1)],
        [(OTHER, 2)],
    ]
    assert not waiting


def test_however_many_have_such_work_others_wait_for_one_piece_of_it() -> None:
    waiting: WaitingWork[Piece] = WaitingWork()
    for organization_id in range(3, 6):
        waiting.put(Piece(organization_id, 0, is_alone=True))
    waiting.put(Piece(OTHER, 0))
    assert waiting.take(MOST) == [Piece(3, 0, is_alone=True)]
    assert waiting.take(MOST) == [Piece(OTHER, 0)]
    assert [waiting.take(MOST)[0].organization_id for _ in range(2)] == [4, 5]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.data())
def test_each_organization_keeps_its_order_whatever_is_put_back(
    arrivals: list[tuple[int, bool]], data: st.DataObject
) -> None:
    waiting: WaitingWork[Piece] = WaitingWork()
    pieces = [
        Piece(organization_id, number, number, is_alone)
        for number, (organization_id, is_alone) in enumerate(arrivals)
    ]
    done: list[Piece] = []
    coming = iter(pieces)
    while len(done) < len(pieces):
        for piece in islice(coming, 5):
            waiting.put(piece)
        batch = waiting.take(data.draw(st.integers(1, 6)))
        # Some organizations are locked, and of the others the time is over after some pieces.
        held = data.draw(st.sets(st.integers(0, 3), max_size=3))
        free = [piece for piece in batch if piece.organization_id not in held]
        begun = free[: data.draw(st.integers(1, 6))]
        waiting.put_back([piece for piece in batch if piece not in begun])
        done += begun
    assert not waiting
    for organization_id in range(4):
        own = [piece for piece in pieces if piece.organization_id == organization_id]
        assert [piece for piece in done if piece.organization_id == organization_id] == own


def test_an_organizations_work_is_told_in_order_and_whether_it_is_all_there_is() -> None:
    waiting: WaitingWork[Piece] = WaitingWork()
    assert waiting.is_only_of(())
    for work in (Piece(FLOOD, 0), Piece(OTHER, 0), Piece(FLOOD, 1)):
        waiting.put(work)
    assert waiting.of(FLOOD) == [Piece(FLOOD, 0), Piece(FLOOD, 1)]
    assert waiting.of(3) == []
    assert [waiting.is_only_of(ids) for ids in ({FLOOD}, {FLOOD, OTHER}, {FLOOD, OTHER, 3})] == [
        False,
        True,
        True,
    ]


# -- limits


def test_the_limits_are_those_that_the_documentation_states() -> None:
    documented = " ".join((ROOT / "app/api/README.md").read_text("utf-8").split())
    own, all_ = waiting_work.OF_ORGANIZATION, waiting_work.OF_PROCESS
    assert f"has {own.count:,} writes or {own.size / 1024**2:g} MiB of bodies waiting" in documented
    assert f"all together have {all_.count:,} or {all_.size / 1024**2:g} MiB" in documented


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> WaitingWork[Piece]:
    monkeypatch.setattr(waiting_work, "OF_ORGANIZATION", Limit(count=2, size=10))
    monkeypatch.setattr(waiting_work, "OF_PROCESS", Limit(count=3, size=15))
    return WaitingWork()


def is_own(waiting: WaitingWork[Piece], organization_id: int, size: int) -> bool | None:
    """Whose limit refuses one more: None if there is room."""
    try:
        waiting.check(organization_id, size)
    except TooManyWaiting as error:
        return error.is_own
    return None


def test_an_organization_and_all_together_have_limits_of_pieces(small: WaitingWork[Piece]) -> None:
    for number in range(2):
        assert is_own(small, FLOOD, 0) is None
        small.put(Piece(FLOOD, number))
    assert (is_own(small, FLOOD, 0), is_own(small, OTHER, 0)) == (True, None)
    small.put(Piece(OTHER, 0))
    assert (is_own(small, FLOOD, 0), is_own(small, OTHER, 0)) == (True, False)


def test_an_organization_and_all_together_have_limits_of_bytes(small: WaitingWork[Piece]) -> None:
    assert is_own(small, FLOOD, 99) is None  # where nothing waits there is room for any
    small.put(Piece(FLOOD, 0, 9))
    assert (is_own(small, FLOOD, 1), is_own(small, FLOOD, 2)) == (None, True)
    assert (is_own(small, OTHER, 6), is_own(small, OTHER, 7)) == (None, False)
    small.put(Piece(OTHER, 0, 6))  # the process's limit, of both together
    assert (is_own(small, 3, 0), is_own(small, 3, 1)) == (None, False)


def test_what_is_removed_leaves_the_bytes_of_the_rest(small: WaitingWork[Piece]) -> None:
    pieces = [Piece(FLOOD, 0, 3), Piece(FLOOD, 1, 5)]
    for piece in pieces:
        small.put(piece)
    small.remove(pieces[1])
    assert (is_own(small, FLOOD, 7), is_own(small, FLOOD, 8)) == (None, True)
    assert (is_own(small, OTHER, 12), is_own(small, OTHER, 13)) == (None, False)


def test_a_refusal_tells_the_limit(small: WaitingWork[Piece]) -> None:
    for number in range(2):
        small.put(Piece(FLOOD, number))
    small.put(Piece(OTHER, 0))
    limits = {FLOOD: waiting_work.OF_ORGANIZATION, OTHER: waiting_work.OF_PROCESS}
    for organization_id, limit in limits.items():
        with pytest.raises(TooManyWaiting) as refused:
            small.check(organization_id, 0)
        assert refused.value.limit == limit


def test_what_was_taken_or_removed_makes_room(small: WaitingWork[Piece]) -> None:
    both = [Piece(FLOOD, 0, 4), Piece(FLOOD, 1, 4)]
    for piece in both:
        small.put(piece)
    small.remove(both[0])
    assert is_own(small, FLOOD, 4) is None
    assert small.take(MOST) == [both[1]]
    small.remove(both[1])  # nothing: it was taken
    assert is_own(small, FLOOD, 10) is None
    small.put_back([both[1]])
    assert is_own(small, FLOOD, 10) is True
