from __future__ import annotations

import itertools
import random

import msgspec
import pytest
from diff_match_patch import diff_match_patch
from hypothesis import given as for_all
from hypothesis import strategies as st

from projections.words import UNTIMED, Hunk, hunks
from tests.events.strategies import many, modest

PROMPT = """You are Ada, a friendly receptionist of the Lindgren dental practice.
Keep every answer below two sentences. Never give medical advice.

If the caller is in pain, offer the next free slot.
Otherwise ask for {{first_name}} and repeat it.
"""


def marked(before: str, after: str) -> str:
    """The hunks in one line, deletions in [-...-] and insertions in {+...+}."""
    marks = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}
    return "".join(marks[hunk.op].format(hunk.text) for hunk in hunks(before, after))


def ops(before: str, after: str) -> list[str]:
    return [hunk.op for hunk in hunks(before, after)]


def spelled(found: list[Hunk], left_out: str) -> list[str]:
    return [hunk.text for hunk in found if hunk.op != left_out]


def hunks_hold(before: str, after: str) -> list[Hunk]:
    found = hunks(before, after)
    assert "".join(spelled(found, "insert")) == before
    assert "".join(spelled(found, "delete")) == after
    assert all(hunk.text for hunk in found)
    assert all(one.op != other.op for one, other in itertools.pairwise(found))
    assert not any(
        (one.op, other.op) == ("insert", "delete") for one, other in itertools.pairwise(found)
    )
    return found


def is_within_a_word(left: str, right: str) -> bool:
    return all(c.isascii() and (c.isalnum() or c == "_") for c in (left[-1], right[0]))


def split_words(found: list[Hunk]) -> list[tuple[str, str]]:
    """Where a boundary lies inside a word, of letters, digits and _, of either text."""
    texts = (spelled(found, "insert"), spelled(found, "delete"))
    return [
        (one, other)
        for text in texts
        for one, other in itertools.pairwise(text)
        if is_within_a_word(one, other)
    ]


# -- what a reader sees


def test_a_changed_word_is_deleted_and_inserted_between_what_stays() -> None:
    assert hunks("be very brief", "be really brief") == [
        Hunk(op="equal", text="be "),
        Hunk(op="delete", text="very"),
        Hunk(op="insert", text="really"),
        Hunk(op="equal", text=" brief"),
    ]


def test_a_hunk_is_written_with_its_two_members() -> None:
    assert msgspec.json.encode(hunks("a", "a")) == b'[{"op":"equal","text":"a"}]'


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("temperature", "temper", "[-temperature-]{+temper+}"),
        ("set 0.7 now", "set 0.9 now", "set [-0.7-]{+0.9+} now"),
        ("at 10:30 sharp", "at 10:45 sharp", "at [-10:30-]{+10:45+} sharp"),
        ("I don't", "I won't", "I [-don't-]{+won't+}"),
        ("front@example.com", "back@example.com", "[-front@example.com-]{+back@example.com+}"),
        ("Hello there", "Hello, there", "Hello{+,+} there"),
        ("ask {{name}} first", "ask {{full_name}} first", "ask {{[-name-]{+full_name+}}} first"),
        ("a b", "a  b", "a[- -]{+  +}b"),
        ("a\r\nb", "a\nb", "a[-\r\n-]{+\n+}b"),
        ("one\ntwo\n", "one\n\ntwo\n", "one\n{+\n+}two\n"),
        ("", "all new", "{+all new+}"),
        ("all gone", "", "[-all gone-]"),
    ],
)
def test_hunks_are_made_of_whole_words(before: str, after: str, expected: str) -> None:
    assert marked(before, after) == expected


def test_a_difference_of_characters_would_split_the_word() -> None:
    assert diff_match_patch().diff_main("temperature", "temper") == [(0, "temper"), (-1, "ature")]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("今天天气很好", "今天空气很好", "今天[-天-]{+空+}气很好"),
        ("un cafe\u0301 noir", "un cafe noir", "un [-cafe\u0301-]{+cafe+} noir"),
        ("wave 👋🏽 now", "wave 👋🏿 now", "wave [-👋🏽-]{+👋🏿+} now"),
        ("the 👩‍👩‍👧 came", "the 👩‍👩‍👦 came", "the [-👩‍👩‍👧-]{+👩‍👩‍👦+} came"),
        ("press #️⃣ now", "press # now", "press [-#️⃣-]{+#+} now"),
        ("か\u3099", "か", "[-か\u3099-]{+か+}"),
        ("नमस्ते दुनिया", "नमस्ते मित्र", "नमस्ते [-दुनिया-]{+मित्र+}"),
        ("สวัสดีครับ", "สวัสดีค่ะ", "[-สวัสดีครับ-]{+สวัสดีค่ะ+}"),
    ],
)
def test_no_hunk_splits_a_character_from_its_marks(before: str, after: str, expected: str) -> None:
    assert marked(before, after) == expected


def test_a_blank_between_two_changed_words_belongs_to_both() -> None:
    assert marked("a quick brown fox", "a slow white fox") == "a [-quick brown-]{+slow white+} fox"


def test_a_word_that_stays_beside_an_insertion_is_equal() -> None:
    assert marked("speak up", "always speak very up") == "{+always +}speak{+ very+} up"


def test_a_line_break_between_two_changed_words_stays() -> None:
    assert (
        marked("say quick\nbrown fox", "say slow\nwhite fox")
        == "say [-quick-]{+slow+}\n[-brown-]{+white+} fox"
    )


def test_a_long_unchanged_run_between_two_changed_words_stays() -> None:
    run = " " + "stays as it was " * 2
    assert marked(f"A{'a' * 99}{run}A", f"B{'b' * 99}{run}B") == (
        f"[-A{'a' * 99}-]{{+B{'b' * 99}+}}{run}[-A-]{{+B+}}"
    )


def test_edits_of_a_prompt_are_told_where_they_are() -> None:
    after = PROMPT.replace("two sentences", "three sentences").replace(" and repeat it", "")
    after = after.replace("\n\nIf", "\n\nBe kind.\n\nIf")
    assert marked(PROMPT, after) == PROMPT.replace(
        "two sentences", "[-two-]{+three+} sentences"
    ).replace(" and repeat it", "[- and repeat it-]").replace("If", "{+Be kind.\n\n+}If")


def test_a_paragraph_put_before_a_changed_one_is_an_insertion() -> None:
    assert (
        marked("Be kind to all.\n\nBe brief.", "Greet.\n\nBe nice to all.\n\nBe brief.")
        == "{+Greet.\n\n+}Be [-kind-]{+nice+} to all.\n\nBe brief."
    )


def test_a_blank_line_alone_holds_nothing_together() -> None:
    before = "Speak slowly.\n\nBe brief today."
    after = "Greet.\n\nSpeak clearly.\n\nBe brief now."
    assert (
        marked(before, after)
        == "{+Greet.\n\n+}Speak [-slowly-]{+clearly+}.\n\nBe brief [-today-]{+now+}."
    )


def test_a_long_equal_run_is_given_whole() -> None:
    same = PROMPT * 50
    (equal, inserted) = hunks(same, same + "Bye.")
    assert (equal.text, inserted.text) == (same, "Bye.")


def test_equal_texts_are_one_hunk_and_empty_ones_none() -> None:
    assert hunks(PROMPT, PROMPT) == [Hunk(op="equal", text=PROMPT)]
    assert hunks("", "") == []


# -- laws

PIECES = st.sampled_from(
    [
        *("a", "b", "temper", "temperature", "don't", "0.7", "{{name}}", "x_y", "É", "e\u0301"),
        *(" ", "  ", "\t", "\n", "\n\n", " \r\n", "\u2028", "\u00a0", "\x1c", "\x85"),
        *(".", "!", "?", ". ", ", ", "-", "'", "’", "…", "。", "！", "“"),  # noqa: RUF001 (as written)
        *(
            "天",
            "気",
            "カ",
            "か\u3099",
            "👋🏽",
            "👩‍👧",
            "#️⃣",
            "\u0301",
            "\u200d",
            "\ufe0f",
            "\0",
            "\ud800",
        ),
    ]
)
PIECED = st.lists(PIECES, max_size=40)


@st.composite
def pairs_of_texts(draw: st.DrawFn) -> tuple[str, str]:
    """Two texts, mostly kin: the second is the first with pieces taken out and put in."""
    one = draw(PIECED)
    if draw(st.integers(0, 4)) == 0:
        return "".join(one), "".join(draw(PIECED)) or draw(st.text(max_size=40))
    other = list(one)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(other)))
        other[at : at + draw(st.integers(0, 3))] = draw(st.lists(PIECES, max_size=3))
    return "".join(one), "".join(other)


@modest
@for_all(pairs_of_texts())
def test_hunks_spell_both_texts_and_split_no_word(texts: tuple[str, str]) -> None:
    assert split_words(hunks_hold(*texts)) == []


@pytest.mark.long
@many
@for_all(pairs_of_texts())
def test_all_hunks_spell_both_texts_and_split_no_word(texts: tuple[str, str]) -> None:
    """Run it with: pytest -m long tests/projections/test_words.py."""
    assert split_words(hunks_hold(*texts)) == []


@modest
@for_all(st.text(), st.text())
def test_hunks_of_any_two_texts_spell_them(before: str, after: str) -> None:
    hunks_hold(before, after)


@modest
@for_all(PIECED.map("".join))
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert hunks(text, text) == ([Hunk(op="equal", text=text)] if text else [])


@modest
@for_all(st.lists(st.sampled_from(["a", "b", "c"]), max_size=30), st.data())
def test_a_word_put_into_a_text_is_all_that_is_inserted(
    words: list[str], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(words)))
    after = [*words[:at], "new", *words[at:]]
    found = hunks_hold(" ".join(words), " ".join(after))
    assert [hunk.text.strip() for hunk in found if hunk.op == "insert"] == ["new"]
    assert not words or [hunk.op for hunk in found if hunk.op == "delete"] == []


# -- bounds


def words_of(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [f"word{draw.randrange(3000)}" for _ in range(count)]


def prompt(words: list[str]) -> str:
    """Sentences of twelve words, paragraphs of five sentences."""
    ends = {0: ".\n\n", 12: ". ", 24: ". ", 36: ". ", 48: ". "}
    return "".join(word + ends.get(at % 60, " ") for at, word in enumerate(words, 1))


def test_two_prompts_of_5000_words_are_told_word_by_word() -> None:
    words = words_of(5000, seed=1)
    edited = [f"NEW{at}" if at % 25 == 0 else word for at, word in enumerate(words)]
    found = hunks_hold(prompt(words), prompt(edited))
    assert [hunk.text for hunk in found if hunk.op == "insert"] == edited[::25]
    assert [hunk.text for hunk in found if hunk.op == "delete"] == words[::25]


def test_two_unlike_prompts_of_5000_words_have_one_result() -> None:
    before, after = prompt(words_of(5000, seed=1)), prompt(words_of(5000, seed=2))
    assert len(f"{before} {after}".replace(".", " .").split(" ")) * 2 < UNTIMED
    found = hunks_hold(before, after)
    assert found == hunks(before, after)
    assert split_words(found) == []


def test_a_hopeless_page_costs_no_other_its_words() -> None:
    pages = (
        "Speak slowly and clearly.\n",
        "Never ask for a password.\n",
        "That is all there is.\n",
    )
    hopeless, rewritten = (" ".join(words_of(5000, seed=seed)) + "\n" for seed in (1, 2))
    kept = "This line has not been changed.\n"
    before = hopeless + kept + kept.join(pages)
    after = rewritten + kept + kept.join(pages).replace("password", "birthday")
    found = hunks_hold(before, after)
    assert max(hunk.text.count(" ") for hunk in found if hunk.op == "delete") > 4000
    assert [hunk.text for hunk in found[-3:-1]] == ["password", "birthday"]


def test_a_megabyte_with_a_few_changes_is_told_word_by_word() -> None:
    words = words_of(130_000, seed=1)
    edited = list(words)
    edited[1_000], edited[65_000], edited[129_000] = "alpha", "beta", "gamma"
    found = hunks_hold(prompt(words), prompt(edited))
    assert [hunk.text for hunk in found if hunk.op == "insert"] == ["alpha", "beta", "gamma"]


def distinct(separator: str) -> tuple[str, str]:
    words = [f"{n:06}" for n in range(143_000)]
    return separator.join(words), separator.join(reversed(words))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a " * 200_000, "b a " * 150_000),
        ("a " * 20_000, "b a " * 10_000),
        ("b " + "a " * 95_000 + "b", "c " + "a b " + "a " * 95_000 + "c"),
        distinct(" "),
        distinct("\n"),
        distinct(". "),
        ("中文" * 500_000, "文中字" * 333_333),
        ("。" * 1_000_000, "。！" * 500_000),  # noqa: RUF001 (fullwidth)
        ("\n" * 1_000_000, "\na" * 500_000),
        (" " * 1_000_000, " a" * 500_000),
        ("!?" * 500_000, "!?." * 333_333),
        ("a'" * 500_000, "a'" * 500_001),
    ],
    ids=[
        *(
            "one word",
            "one word, shorter",
            "one word, with others",
            "reversed words",
            "reversed lines",
            "reversed sentences",
        ),
        *("Chinese", "full stops", "line breaks", "blanks", "marks", "apostrophes"),
    ],
)
def test_texts_made_to_be_slow_are_still_told_rightly(before: str, after: str) -> None:
    assert split_words(hunks_hold(before, after)) == []


def test_more_distinct_words_than_lie_below_the_surrogates_are_told_apart() -> None:
    letters = [chr(n) for n in range(0xAC00, 0xD7A4)]
    words = [one + other for one in letters[:6] for other in letters[:10_000]]
    edited = [*words[:59_000], "new", *words[59_001:]]
    before, after = " ".join(words), " ".join(edited)
    assert ops(before, after) == ["equal", "delete", "insert", "equal"]
    hunks_hold(before, after)
