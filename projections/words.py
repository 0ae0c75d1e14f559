"""Word-level differences of two long texts, such as prompts.

The texts are compared twice: by sentences and lines, then the changed ones by words. Both times
each distinct piece becomes one character, and diff-match-patch (Myers' O(ND) search) compares the
characters, so that no hunk ever starts inside a word.

The search is bounded by the steps that it takes, so that two texts have one result on every
machine; only those of more than ``UNTIMED`` pieces are bounded by the clock as well. A
difference beyond the bounds is coarser, at worst a deletion of the one text and an insertion of
the other, but never wrong: the hunks always spell both texts.
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
SENTENCES = 50_000  # of a text; all after them are the last one
SLIGHT = 20  # characters
_LONG_TEXT = 80  # characters from which on a text is shown by words

# A mark belongs to what it follows: accents, joiners, variation selectors, keycaps, kana voicing.
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
# Blank lines stay with the line above: alone they would match anywhere.
_SENTENCE_START = re.compile(
    rf"(?<=\n)(?=[^\n])|(?<=[.!?]\s)(?=\S)|(?<=[。！？])(?![\s{_MARK}])"  # noqa: RUF001 (fullwidth)
)


class Hunk(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A run of whole words that both texts hold, or only one of them does."""

    op: Literal["equal", "insert", "delete"]
    text: str


class _Edit(NamedTuple):
    """Where the texts differ: from ``start`` to ``end`` before, ``onset`` to ``close`` after."""

    start: int
    end: int
    onset: int
    close: int

    @property
    def size(self) -> int:
        """The characters of its shorter side: none unless something was replaced."""
        return min(self.end - self.start, self.close - self.onset)

    @property
    def length(self) -> int:
        """The characters of both sides."""
        return self.end - self.start + self.close - self.onset


def between(before: Any, after: Any) -> list[Hunk] | None:
    """The hunks of two texts of which one is long; None for all other values."""
    if not isinstance(before, str) or not isinstance(after, str):
        return None
    return hunks(before, after) if max(len(before), len(after)) >= _LONG_TEXT else None


def hunks(before: str, after: str) -> list[Hunk]:
    """The hunks that lead from one text to the other, in order, a deletion before its insertion.

    Equal and deleted hunks spell ``before``, equal and inserted ones ``after``; none is empty and
    neighbours differ in ``op``. A hunk is made of whole tokens: a word with its accents and inner
    punctuation, a punctuation mark, white space up to the end of its line, and one character of
    Chinese or Japanese, which put no spaces between words; so a run of Thai or Khmer is one token.

    Texts that differ beyond the bounds named above get coarser hunks, never wrong ones: whole
    sentences where more than about 1,000 tokens changed in one place, both sides counted, or
    where a place has more than 400,000 characters.
    """
    changed = _joined(before, _by_sentence(before, after, _Bound(STEPS_BY_SENTENCE)))
    bound = _Bound(STEPS_BY_WORD)
    # The shortest first: one hopeless page costs no other its words.
    changed.sort(key=lambda place: place.length)
    by_word = (edit for place in changed for edit in _by_word(before, after, place, bound))
    return list(_spelled(before, after, _joined(before, sorted(by_word))))


def by_line(before: str, after: str) -> list[Hunk]:
    """The hunks of whole lines that lead from one text to the other; LF ends a line.

    Bounded as ``hunks`` is: beyond the bounds a hunk is coarser, and never wrong.
    """
    one, other = _LINE.findall(before), _LINE.findall(after)
    place = _Edit(0, len(before), 0, len(after))
    edits = _edits(one, other, place, _Bound(STEPS_BY_SENTENCE))
    return list(_spelled(before, after, _joined(before, edits)))


def _by_sentence(before: str, after: str, bound: _Bound) -> Iterator[_Edit]:
    one, other = (
        list(filter(None, _SENTENCE_START.split(text, SENTENCES))) for text in (before, after)
    )
    return _edits(one, other, _Edit(0, len(before), 0, len(after)), bound)


def _by_word(before: str, after: str, place: _Edit, bound: _Bound) -> Iterator[_Edit]:
    """The edits in a place; the place itself if one text has nothing there, or it is too long."""
    one, other = before[place.start : place.end], after[place.onset : place.close]
    if one and other and bound.affords(place.length):
        return _edits(_TOKEN.findall(one), _TOKEN.findall(other), place, bound)
    return iter((place,))


def _edits(one: list[str], other: list[str], place: _Edit, bound: _Bound) -> Iterator[_Edit]:
    """The edits in a place, given its pieces; a deletion and its insertion are still apart."""
    bound.mind(len(one) + len(other))
    starts = list(accumulate(map(len, one), initial=place.start))
    onsets = list(accumulate(map(len, other), initial=place.onset))
    at = to = 0
    for op, pieces in _Search().diff_main(*_coded(one, other), checklines=False, deadline=bound):
        next_at = at + len(pieces) * (op != _Search.DIFF_INSERT)
        next_to = to + len(pieces) * (op != _Search.DIFF_DELETE)
        if pieces and op != _Search.DIFF_EQUAL:
            yield _Edit(starts[at], starts[next_at], onsets[to], onsets[next_to])
        at, to = next_at, next_to


def _coded(*texts: list[str]) -> list[str]:
    """The lists as texts, each distinct piece as one character.

    The bounds leave no more than 400,000 pieces, of 1,114,112 characters. Surrogates are among
    them: to Python they are characters like others until a text is encoded, which these never are.
    """
    codes: dict[str, str] = {}
    return ["".join(codes.setdefault(piece, chr(len(codes))) for piece in text) for text in texts]


def _joined(before: str, edits: Iterable[_Edit]) -> list[_Edit]:
    """The edits, those made one that only a slight run parts: -quick- -fox- is -quick fox-."""
    joined: list[_Edit] = []
    for edit in edits:
        last = edit
        while joined and _hardly_apart(before, joined[-1], last):
            first = joined.pop()
            last = _Edit(first.start, last.end, first.onset, last.close)
        joined.append(last)
    return joined


def _hardly_apart(before: str, one: _Edit, other: _Edit) -> bool:
    """Whether the run between is no longer than what it parts, and lies within a line."""
    length = other.start - one.end
    return length <= min(SLIGHT, one.size, other.size) and "\n" not in before[one.end : other.start]


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


class _Bound:
    """How far a search may go. It stands where the library compares the clock with a deadline.

    The library asks ``time.time() > deadline`` before each round of a search, and nowhere else.
    Round d walks some 2d diagonals: they are what is counted, so that the answer does not depend
    on the machine. What is not counted is how far each diagonal runs: hence the clock for texts
    so long that this matters.
    """

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._round = 0
        self._pieces = 0
        self._until = inf

    def affords(self, characters: int) -> bool:
        """Whether so many can be cut into words, at a step for each, which is then spent."""
        if characters > self._left:
            return False
        self._left -= characters
        return True

    def mind(self, pieces: int) -> None:
        """So many more are to be compared: from ``UNTIMED`` on, the clock runs."""
        self._pieces += pieces
        if self._pieces > UNTIMED and self._until == inf:
            self._until = thread_time() + SECONDS

    def start(self) -> None:
        """Another search starts at its first round; what is left is shared by all."""
        self._round = 0

    def __lt__(self, now: float) -> bool:
        """Whether to stop. Not the library's ``now`` counts: others' load must not coarsen."""
        self._round += 1
        self._left -= 2 * self._round
        return self._left < 0 or self._until < thread_time()


class _Search(diff_match_patch):  # type: ignore[misc]  # the library has no types
    """Myers' search alone, without what takes more than linear time and asks no deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.Diff_Timeout = 0  # "a a a a" would keep its search for a common half busy for minutes

    def diff_bisect(self, text1: str, text2: str, deadline: _Bound) -> list[tuple[int, str]]:
        """As inherited, with each search's rounds counted from one."""
        deadline.start()
        found: list[tuple[int, str]] = super().diff_bisect(text1, text2, deadline)
        return found

    def diff_cleanupMerge(self, diffs: list[tuple[int, str]]) -> None:  # noqa: N802 (its name)
        """Nothing: ``_joined`` does it in one pass, and this one calls itself once a shift."""
