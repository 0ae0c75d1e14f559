r"""How untrusted text is shown on pages, terminals and in the log, invisible characters escaped.

Names may hold line ends, direction overrides, and invisible characters. Shown unescaped, one name
could pass for another, or for a line of our own output. So each such character is shown as a Python
escape: ``\u202e``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Printable by their category, and yet invisible: fillers, blanks and selectors
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
# Where an invisible character is needed: joiners in Arabic and Indic words, and in emoji; a
# selector after a symbol; the space between two words of Chinese, Japanese or Korean.
# ``re`` compiles it at the first text that is not plain: that is slow, and most processes see none.
_NEEDED = (
    rf"(?<={_SCRIPT})[\u200c\u200d](?={_SCRIPT})"
    rf"|(?<={_EMOJI})\ufe0f?\u200d(?={_EMOJI})"
    rf"|(?<={_EMOJI})\ufe0f|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    rf"|(?<={_WIDE})\u3000(?={_WIDE})"
)
_LAYOUT = re.compile(r"(\r?\n|[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000])")


def printable(text: object) -> str:
    """A text as one line without invisible characters."""
    written = str(text)
    if written.isascii() and written.isprintable():  # as nearly always
        return written
    return "".join(
        character if seen else character.encode("unicode_escape").decode()
        for character, seen in _characters(written)
    )


def printable_lines(text: object) -> str:
    """As ``printable``, but line ends and spaces stay as they are."""
    return "".join(
        part if _LAYOUT.fullmatch(part) else printable(part) for part in _LAYOUT.split(str(text))
    )


def unseen(text: str) -> list[str]:
    """The characters of a text that ``printable`` escapes."""
    return [character for character, seen in _characters(text) if not seen]


def _characters(text: str) -> Iterator[tuple[str, bool]]:
    """The characters in order, each with whether it is visible; a needed one counts as visible."""
    at = 0
    for needed in re.finditer(_NEEDED, text):
        # Its neighbours must be visible, or it would join nothing.
        around = text[needed.start() - 1], text[needed.end() : needed.end() + 1]
        if all(map(_is_seen, around)):
            yield from ((character, _is_seen(character)) for character in text[at : needed.start()])
            yield needed[0], True
            at = needed.end()
    yield from ((character, _is_seen(character)) for character in text[at:])


def _is_seen(character: str) -> bool:
    return character.isprintable() and character not in UNSEEN
