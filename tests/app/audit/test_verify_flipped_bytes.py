"""The offline verifier misses no flipped byte of an export."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from app.audit.verify import (
    Log,
)
from tests.app.audit.built_exports import (
    EVENTS,
    KEYS,
    LINES,
    SMALL,
    flipped,
    judged,
    missed_flips,
    other_byte,
    resumed,
    sampled,
    split,
    states,
    with_byte,
)


def test_of_20000_flipped_bytes_and_more_none_is_missed(known: list[Log]) -> None:
    dice = random.Random(1)
    assert missed_flips(known, sampled(dice, 20_000)) == []
    closing_line = [(EVENTS, place, other_byte(dice, byte)) for place, byte in enumerate(LINES[-1])]
    assert missed_flips(known, closing_line) == []


@pytest.mark.long
def test_of_all_bytes_flipped_none_is_missed(known: list[Log]) -> None:
    """The long form: ``pytest -m long tests/app/audit/test_verify_flipped_bytes.py``."""
    dice = random.Random(2)
    places = (
        (number, place, other_byte(dice, byte))
        for number, line in enumerate(LINES)
        for place, byte in enumerate(line)
    )
    assert missed_flips(known, places) == []


def test_the_short_way_to_judge_flips_says_what_the_whole_file_says(known: list[Log]) -> None:
    for number, place, byte in sampled(random.Random(3), 100):
        whole = chain(LINES[:number], flipped(LINES, number, place, byte))
        assert judged(whole, KEYS) == resumed(known[number], flipped(LINES, number, place, byte))


def test_without_keys_a_flip_is_missed_in_the_last_signature_only() -> None:
    dice, data = random.Random(4), b"".join(SMALL)
    missed = [
        place
        for place, byte in enumerate(data)
        if judged(split(with_byte(data, place, other_byte(dice, byte)))) == "verified"
    ]
    assert missed
    assert min(missed) > data.rindex("\\n\\n— ".encode())


def test_every_value_of_every_byte_of_the_closing_line_matters() -> None:
    known = states(SMALL, KEYS)
    missed = [
        (place, byte)
        for place, right in enumerate(SMALL[-1])
        for byte in range(256)
        if byte != right
        and resumed(known[-2], flipped(SMALL, len(SMALL) - 1, place, byte)) == "verified"
    ]
    assert missed == []
