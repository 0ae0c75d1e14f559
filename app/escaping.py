r"""Texts from elsewhere as people see them: on pages, on a terminal and in the log, by one rule.

Names are free, so they may hold line ends, marks that turn the direction of what follows, and
characters that nobody sees. Shown as they are, one name could pass for another, or for a line of
ours. So each such character is shown by its number, as Python writes it: ``\u202e``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Printable by their category, and yet nothing is seen of them: fillers, blanks and selectors
# (Default_Ignorable_Code_Point, with the blank of Braille and an empty note head).
UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_EMOJI = (
    r"[\u00a9\u00ae\u203c\u2049\u20e3\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299"
    r"\U0001f000-\U0001faff]"
)
_SCRIPT = r"[\u0620-\u06ff\u0750-\u077f\u0900-\u0dff\u1000-\u109f\u1780-\u17dd]"
_WIDE = r"[\u3005-\u3007\u3041-\u318e\u31f0-\u9fff\uac00-\ud7a3\uf900-\ufad9\uff01-\uff9f]"
# Where writing needs one: joiners in words of Arabic and Indic scripts, and in emoji; a selector
# behind a symbol; the blank between two words of Chinese, Japanese or Korean.
_NEEDED = re.compile(
    rf"(?<={_SCRIPT})[\u200c\u200d](?={_SCRIPT})"
    rf"|(?<={_EMOJI})\ufe0f?\u200d(?={_EMOJI})"
    rf"|(?<={_EMOJI})\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    rf"|(?<={_WIDE})\u3000(?={_WIDE})"
)
_LAYOUT = re.compile(r"(\r?\n|[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000])")


def printable(text: object) -> str:
    """A text as one line in which everything is seen."""
    written = str(text)
    if written.isascii() and written.isprintable():  # as nearly always
        return written
    return "".join(
        one if seen else one.encode("unicode_escape").decode() for one, seen in _pieces(written)
    )


def printable_lines(text: object) -> str:
    """A text of many lines, whose line ends and blanks are its own; all else is seen."""
    return "".join(
        one if _LAYOUT.fullmatch(one) else printable(one) for one in _LAYOUT.split(str(text))
    )


def unseen(text: str) -> list[str]:
    """The characters of a text that ``printable`` shows by their numbers."""
    return [one for one, seen in _pieces(text) if not seen]


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The characters in order, each with whether it is seen; what is needed counts as seen."""
    at = 0
    for found in _NEEDED.finditer(text):
        # What stands around it must be seen itself, or nothing would be joined.
        around = text[found.start() - 1], text[found.end() : found.end() + 1]
        if all(map(_is_seen, around)):
            yield from ((one, _is_seen(one)) for one in text[at : found.start()])
            yield found[0], True
            at = found.end()
    yield from ((one, _is_seen(one)) for one in text[at:])


def _is_seen(character: str) -> bool:
    return character.isprintable() and character not in UNSEEN
