"""The offline verifier finds events that were dropped, moved, edited or forged."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from itertools import chain

import pytest

from app.audit.verify import (
    Failed,
    Log,
    read_note,
    verify,
)
from tests.app.audit.built_exports import (
    EVENTS,
    KEYS,
    LINES,
    OTHERS,
    SIGNER,
    SMALL,
    STRANGER,
    closing,
    compact,
    earlier,
    event,
    export,
    flipped,
    head,
    judged,
    key_id,
    note,
    resumed,
    row,
    sampled,
    signature,
    split,
    tree_over,
)


def test_every_dropped_event_is_missing(known: list[Log]) -> None:
    for number in range(EVENTS - 1):
        assert resumed(known[number], LINES[number + 1 :]) == f"{number + 1} missing"


def test_a_log_without_its_last_events_is_truncated(known: list[Log]) -> None:
    for left in (0, 1, 99, 100, 500, EVENTS - 1):
        assert resumed(known[left], LINES[-1:]) == f"{left + 1} truncated"


def test_every_swapped_pair_is_reordered(known: list[Log]) -> None:
    for number in range(EVENTS):
        swapped = [LINES[number + 1], LINES[number], *LINES[number + 2 :]]
        assert resumed(known[number], swapped) == f"{number + 1} reordered"


def test_every_repeated_event_is_reordered(known: list[Log]) -> None:
    for number in range(EVENTS):
        assert resumed(known[number + 1], LINES[number:]) == f"{number + 2} reordered"


def test_a_repeated_closing_line_is_an_empty_part() -> None:
    assert judged([*LINES, LINES[-1]], KEYS) == "verified"


def test_a_file_is_truncated_wherever_it_is_cut() -> None:
    data = b"".join(SMALL)
    for end in range(len(data)):
        assert judged(split(data[:end]), KEYS) == f"{len(split(data[:end] + b'x'))} truncated"


def test_a_file_is_truncated_after_whichever_event_it_ends(known: list[Log]) -> None:
    for number in range(len(LINES)):
        assert resumed(known[number], []) == f"{number + 1} truncated"


def test_a_part_that_goes_on_after_a_checkpoint_must_end_with_another() -> None:
    middle = closing(5, note(5, tree_over(SMALL).get_root(5)))
    assert judged([*SMALL[:5], middle, *SMALL[5:9]], KEYS) == "10 truncated"
    assert judged([*SMALL[:5], middle, *SMALL[5:]], KEYS) == "verified"


def test_every_line_of_another_organization_is_foreign(known: list[Log]) -> None:
    for number in range(EVENTS):
        replaced = [OTHERS[number], *LINES[number + 1 :]]
        assert resumed(known[number], replaced) == f"{number + 1} foreign"
    for number in range(1, EVENTS):
        assert resumed(known[number], [OTHERS[7], *LINES[number:]]) == f"{number + 1} foreign"


def test_a_checkpoint_that_comes_too_late_is_reordered() -> None:
    late = closing(5, note(5, tree_over(SMALL).get_root(5)))
    assert judged([*SMALL, late], KEYS) == "13 reordered"


def test_a_filtered_export_is_not_proven_and_says_why() -> None:
    members = {"last_sequence": 12, "filter": {"type": "x"}, "checkpoint": json.loads(SMALL[-1])}
    filtered = compact(members) + b"\n"
    for rows in (SMALL[:-1], SMALL[3:-1], [*SMALL[:2], *SMALL[5:7]], []):
        with pytest.raises(Failed, match="missing: a filtered export cannot be proven as a whole"):
            verify([*rows, filtered], KEYS)


def test_an_edited_event_without_its_hash_is_found_where_it_is(known: list[Log]) -> None:
    for number in range(0, EVENTS, 7):
        edited = LINES[number].replace("Grüße".encode(), b"Hallo")
        assert resumed(known[number], [edited, *LINES[number + 1 :]]) == f"{number + 1} edited"


@pytest.mark.parametrize(
    ("sequence", "first", "last"),
    [(1, 1, 99), (417, 400, 499), (499, 400, 499), (501, 500, 599), (999, 900, 999)],
)
def test_an_edited_event_with_its_hash_lies_between_two_anchors(
    sequence: int, first: int, last: int
) -> None:
    edited = LINES.copy()
    edited[sequence - 1] = row(sequence - 1, event(sequence, reason="nothing happened"))
    with pytest.raises(Failed, match=f"edited: .* somewhere from {first} to {last}$") as failed:
        verify(edited, KEYS)
    assert failed.value.sequence == first


def test_without_keys_the_anchor_itself_is_suspected_too() -> None:
    edited = LINES.copy()
    edited[416] = row(416, event(417, reason="nothing happened"))
    with pytest.raises(Failed, match=r"somewhere from 400 to 500$"):
        verify(edited)


def test_a_whole_log_made_anew_is_foreign_with_keys_and_passes_without() -> None:
    forged = export(EVENTS, signer=STRANGER, edits={417: event(417, reason="nothing happened")})
    assert judged(forged, KEYS) == "1 foreign"
    assert judged(forged) == "verified"
    # The first anchor, event 100, has another signature: a checkpoint from then on tells.
    assert judged(forged, None, earlier(LINES, 99)) == "verified"
    assert judged(forged, None, earlier(LINES, 100)) == "1 edited"


def test_a_closing_note_of_another_key_is_foreign() -> None:
    last = closing(EVENTS, note(EVENTS, tree_over(LINES).get_root(), STRANGER))
    assert judged([*LINES[:-1], last], KEYS) == "1000 foreign"


def test_a_known_keys_id_with_another_signature_is_edited() -> None:
    text = head(EVENTS, tree_over(LINES).get_root())
    forged = signature(text, STRANGER, identity=key_id(SIGNER))
    assert judged([*LINES[:-1], closing(EVENTS, f"{text}\n{forged}")], KEYS) == "1000 edited"
    both = f"{text}\n{signature(text, SIGNER)}{forged}"
    assert judged([*LINES[:-1], closing(EVENTS, both)], KEYS) == "1000 edited"


def test_a_checkpoint_of_another_origin_is_foreign() -> None:
    root = tree_over(LINES).get_root()
    last = closing(EVENTS, note(EVENTS, root, origin="backstory/organizations/2/77aa"))
    assert judged([*LINES[:-1], last]) == "1000 foreign"
    assert judged(OTHERS, KEYS) == "1 foreign"
    assert judged(OTHERS, None, earlier(LINES, 3)) == "1 foreign"
    assert judged(OTHERS, None, earlier(LINES, EVENTS)) == "1 foreign"


def test_an_earlier_checkpoint_must_be_signed_and_reached_and_of_these_events() -> None:
    assert judged(LINES, KEYS, earlier(LINES, 9, STRANGER)) == "1 foreign"
    assert judged(SMALL, KEYS, earlier(LINES, 13)) == "13 truncated"
    assert judged(LINES, KEYS, read_note(note(9, bytes(32)))) == "1 edited"
    assert judged(LINES, KEYS, read_note(note(0, bytes(32)))) == "1 edited"


def test_a_log_that_was_cut_back_is_true_but_does_not_extend_what_was_kept() -> None:
    assert judged(export(5), KEYS) == "verified"
    assert judged(export(5), KEYS, earlier(LINES, 6)) == "6 truncated"


def test_an_anchor_must_be_of_the_events_before_it() -> None:
    old = note(3, tree_over(SMALL).get_root(3))
    moved = event(7, type="checkpoint_recorded.v1", checkpoint=old)
    assert judged(export(12, every=50, edits={7: moved}), KEYS) == "7 edited"


def test_an_event_must_say_the_sequence_of_its_leaf() -> None:
    renumbered = [*SMALL[:4], row(4, event(6)), *SMALL[5:]]
    assert judged(renumbered, KEYS) == "5 edited"


def naive(lines: Iterable[bytes]) -> bool:
    """A verifier without the tree: lines parse, and indexes follow each other."""
    try:
        *events, last = [json.loads(line) for line in lines]
        in_order = [each["leaf_index"] for each in events] == list(range(len(events)))
        return in_order and bool(last["last_sequence"] == len(events))
    except (ValueError, KeyError, TypeError):
        return False


def test_control_a_verifier_without_the_tree_misses_forgeries() -> None:
    edited = LINES.copy()
    edited[416] = edited[416].replace("Grüße".encode(), b"Hallo")
    rehashed = LINES.copy()
    rehashed[416] = row(416, event(417, reason="nothing happened"))
    foreign = [*LINES[:416], OTHERS[416], *LINES[417:]]
    for forged in (edited, rehashed, foreign):
        assert naive(forged)
        assert judged(forged, KEYS) != "verified"
    missed = [
        place
        for number, place, byte in sampled(random.Random(5), 200)
        if naive(chain(LINES[:number], flipped(LINES, number, place, byte)))
    ]
    assert len(missed) > 20
