"""Word-level differences of two long texts, such as prompts.

The texts are compared twice: by sentences and lines, then the changed sentences by words. Both
times each distinct piece becomes one character, and diff-match-patch (Myers' O(ND) search) compares
the characters, so that no hunk starts inside a word.

The search is bounded by its number of steps, so that the result is the same on every machine. Only
texts of more than ``UNTIMED`` pieces are bounded by the clock as well. Beyond the bounds a
difference is coarser, at worst a deletion of one text and an insertion of the other, but never
wrong: the hunks always spell both texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import inf
from time import thread_time
from typing import Any, Literal, NamedTuple

from diff_match_patch import diff_match_patch
from msgspec import Struct

UNTIMED = 25_000  # pieces of both texts; two prompts of 5,000 words have about 22,000
SECONDS = 0.2  # of the thread's own time, for each of the two comparisons
STEPS_BY_SENTENCE = 200_000  # a step takes somewhat less than a microsecond
STEPS_BY_WORD = 400_000
SENTENCES = 50_000  # of a text; the rest counts as one sentence
MAX_GAP = 20  # characters between two edits that are joined
_MIN_LENGTH = 80  # characters; shorter texts are shown whole

# Marks belong to the character before them: accents, joiners, variation selectors, keycaps, kana
# voicing.
_MARK = "\u0300-\u036f\u200c\u200d\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef"
_PUNCTUATION = (
    r"!-/:-@\[-^`{-~"
    "\u00a1\u00a7\u00ab\u00b6\u00b7\u00bb\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3004"
    "\u3008-\u3020\u3030\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_CJK = (
    "\u3005-\u3007\u3021-\u302f\u3031-\u3098\u309b-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_LETTER = rf"[^\s{_PUNCTUATION}{_CJK}]"
_TOKEN = re.compile(
    rf"[^\S\n]*\n"  # white space ends with its line
    rf"|\s+"
    rf"|{_LETTER}+(?:[.,:'’@/-]{_LETTER}+)*"  # noqa: RUF001 (don't, 0.7, 10:30)
    rf"|[^\s][{_MARK}]*"
)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
# Blank lines belong to the line above: on their own they would match anywhere.
_SENTENCE_START = re.compile(
    rf"(?<=\n)(?=[^\n])|(?<=[.!?]\s)(?=\S)|(?<=[。！？])(?![\s{_MARK}])"  # noqa: RUF001 (fullwidth)
)


class Hunk(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A run of whole words that both texts have, or only one of them."""

    op: Literal["equal", "insert", "delete"]
    text: str


class _Edit(NamedTuple):
    """A place where the texts differ: ``start`` to ``end`` before, ``onset`` to ``close`` after."""

    start: int
    end: int
    onset: int
    close: int

    @property
    def size(self) -> int:
        """The characters of the shorter side; 0 for a pure deletion or insertion."""
        return min(self.end - self.start, self.close - self.onset)

    @property
    def length(self) -> int:
        """The characters of both sides."""
        return self.end - self.start + self.close - self.onset


def between(before: Any, after: Any) -> list[Hunk] | None:
    """The hunks of two values; None unless both are texts and one of them is long."""
    if not isinstance(before, str) or not isinstance(after, str):
        return None
    return hunks(before, after) if max(len(before), len(after)) >= _MIN_LENGTH else None


def hunks(before: str, after: str) -> list[Hunk]:
    """The hunks that lead from one text to the other, in order, a deletion before its insertion.

    Equal and deleted hunks spell ``before``, equal and inserted hunks ``after``; none is empty, and
    neighbours differ in ``op``. A hunk consists of whole tokens. A token is a word with its accents
    and inner punctuation, a punctuation mark, white space up to the end of its line, or one
    character of Chinese or Japanese, which have no spaces between words. A run of Thai or Khmer is
    one token.

    Beyond the bounds named above, hunks are coarser: whole sentences where more than about 1,000
    tokens changed in one place, both sides counted, or where a place has more than 400,000
    characters.
    """
    changed = _joined(before, _by_sentence(before, after, _Budget(STEPS_BY_SENTENCE)))
    budget = _Budget(STEPS_BY_WORD)
    # The shortest first, so that one long place does not use up the steps of the others.
    changed.sort(key=lambda place: place.length)
    by_word = (edit for place in changed for edit in _by_word(before, after, place, budget))
    return list(_spelled(before, after, _joined(before, sorted(by_word))))


def by_line(before: str, after: str) -> list[Hunk]:
    """The hunks of whole lines that lead from one text to the other; LF ends a line.

    The search is bounded like that of ``hunks``.
    """
    old, new = _LINE.findall(before), _LINE.findall(after)
    place = _Edit(0, len(before), 0, len(after))
    edits = _edits(old, new, place, _Budget(STEPS_BY_SENTENCE))
    return list(_spelled(before, after, _joined(before, edits)))


def _by_sentence(before: str, after: str, budget: _Budget) -> Iterator[_Edit]:
    old, new = (
        list(filter(None, _SENTENCE_START.split(text, SENTENCES))) for text in (before, after)
    )
    return _edits(old, new, _Edit(0, len(before), 0, len(after)), budget)


def _by_word(before: str, after: str, place: _Edit, budget: _Budget) -> Iterator[_Edit]:
    """The edits in a place; the place itself where one side is empty or the place is too long."""
    old, new = before[place.start : place.end], after[place.onset : place.close]
    if old and new and budget.take(place.length):
        return _edits(_TOKEN.findall(old), _TOKEN.findall(new), place, budget)
    return iter((place,))


def _edits(old: list[str], new: list[str], place: _Edit, budget: _Budget) -> Iterator[_Edit]:
    """The edits in a place, given its pieces; a deletion and its insertion are two edits."""
    budget.add_pieces(len(old) + len(new))
    starts = list(accumulate(map(len, old), initial=place.start))
    onsets = list(accumulate(map(len, new), initial=place.onset))
    at = to = 0
    for op, pieces in _Search().diff_main(*_coded(old, new), checklines=False, deadline=budget):
        next_at = at + len(pieces) * (op != _Search.DIFF_INSERT)
        next_to = to + len(pieces) * (op != _Search.DIFF_DELETE)
        if pieces and op != _Search.DIFF_EQUAL:
            yield _Edit(starts[at], starts[next_at], onsets[to], onsets[next_to])
        at, to = next_at, next_to


def _coded(*texts: list[str]) -> list[str]:
    """The lists as texts, with one character for each distinct piece.

    The bounds allow 400,000 pieces, and there are 1,114,112 characters. Surrogates among them do no
    harm, because these texts are never encoded.
    """
    codes: dict[str, str] = {}
    return ["".join(codes.setdefault(piece, chr(len(codes))) for piece in text) for text in texts]


def _joined(before: str, edits: Iterable[_Edit]) -> list[_Edit]:
    """The edits, joined where the gap between two is small: -quick- -fox- becomes -quick fox-."""
    joined: list[_Edit] = []
    for edit in edits:
        last = edit
        while joined and _is_small_gap(before, joined[-1], last):
            first = joined.pop()
            last = _Edit(first.start, last.end, first.onset, last.close)
        joined.append(last)
    return joined


def _is_small_gap(before: str, first: _Edit, second: _Edit) -> bool:
    """Whether the gap is no longer than the edits beside it, and has no line end."""
    gap = before[first.end : second.start]
    return len(gap) <= min(MAX_GAP, first.size, second.size) and "\n" not in gap


def _spelled(before: str, after: str, edits: list[_Edit]) -> Iterator[Hunk]:
    end = 0
    for edit in edits:
        yield from _hunk("equal", before[end : edit.start])
        yield from _hunk("delete", before[edit.start : edit.end])
        yield from _hunk("insert", after[edit.onset : edit.close])
        end = edit.end
    yield from _hunk("equal", before[end:])


def _hunk(op: Literal["equal", "insert", "delete"], text: str) -> Iterator[Hunk]:
    if text:
        yield Hunk(op=op, text=text)


class _Budget:
    """The number of steps that a search may take, passed to the library as its deadline.

    The library asks ``time.time() > deadline`` before each round of a search, and nowhere else.
    Round d walks about 2d diagonals. They are counted as steps, so that the result does not depend
    on the machine. The length of a diagonal is not counted, so texts that are long enough for it to
    matter are bounded by the clock as well.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._round = 0
        self._pieces = 0
        self._until = inf

    def take(self, characters: int) -> bool:
        """Take a step for each character that is split into words; False if too few are left."""
        if characters > self._left:
            return False
        self._left -= characters
        return True

    def add_pieces(self, pieces: int) -> None:
        """Add to the pieces that are compared; the clock starts after ``UNTIMED`` of them."""
        self._pieces += pieces
        if self._pieces > UNTIMED and self._until == inf:
            self._until = thread_time() + SECONDS

    def start(self) -> None:
        """Begin another search with round 1; all searches share the remaining steps."""
        self._round = 0

    def __lt__(self, now: float) -> bool:
        """Whether to stop. The library's ``now`` is ignored: load on the machine must not count."""
        self._round += 1
        self._left -= 2 * self._round
        return self._left < 0 or self._until < thread_time()


class _Search(diff_match_patch):  # type: ignore[misc]  # the library has no types
    """Myers' search, without the steps of the library that are slow and ask for no deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.Diff_Timeout = 0  # its search for a common half would take minutes for "a a a a"

    def diff_bisect(self, text1: str, text2: str, deadline: _Budget) -> list[tuple[int, str]]:
        """As inherited; the rounds of each search are counted from 1."""
        deadline.start()
        diffs: list[tuple[int, str]] = super().diff_bisect(text1, text2, deadline)
        return diffs

    def diff_cleanupMerge(self, diffs: list[tuple[int, str]]) -> None:  # noqa: N802 (its name)
        """Do nothing: ``_joined`` does this in one pass; the library recurses for each shift."""
