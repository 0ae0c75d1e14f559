from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from events.bodies.validation import read_struct
from events.errors import InvalidSettings
from events.pointers import Tree, diff, join, overlaps, put, split
from events.policy import PathProtected, Policy, ReasonRequired, Warned, check, warnings
from tests.events.given import DEFAULTS, secret
from tests.events.strategies import VALUES, modest

PROMPT = "/llm_settings/system_prompt"
RECORDING = "/recording_settings/enabled"
DISCLOSURE = "/recording_settings/disclosure_enabled"
NUMBERS = "/tools_settings/transfer_call/transfer_numbers"
ENABLED_TOOLS = "/tools_settings/enabled_tools"
CUSTOM_TOOLS = "/tools_settings/custom_tools"
WATCHED = [PROMPT, RECORDING, DISCLOSURE, NUMBERS, ENABLED_TOOLS, CUSTOM_TOOLS]

TEXT = "You book tables for a restaurant. Be kind and brief."  # 52 characters
OPEN = Policy()
MILLION = 10**6


# -- how a policy is read


def errors_of(body: Any) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(InvalidSettings) as caught:
        read_struct(Policy, body)
    return [(error.loc, error.type) for error in caught.value.errors]


def test_a_policy_demands_nothing_by_default() -> None:
    assert read_struct(Policy, {}) == Policy(
        require_condition=False, require_reason=False, require_reason_for=[], admin_paths=[]
    )


def test_a_policy_is_read_back_as_it_was_written() -> None:
    written = Policy(require_reason=True, require_reason_for=["/a"], admin_paths=["/b/c", "/~1"])
    assert msgspec.json.decode(msgspec.json.encode(written), type=Policy) == written
    assert read_struct(Policy, msgspec.to_builtins(written)) == written


@pytest.mark.parametrize("name", ["require_reason_for", "admin_paths"])
def test_a_policy_takes_a_hundred_long_pointers_and_no_more(name: str) -> None:
    most = ["/" + "a" * 999] * 100
    assert getattr(read_struct(Policy, {name: most}), name) == most
    assert errors_of({name: [*most, "/a"]}) == [(("body", name), "too_long")]
    assert errors_of({name: ["/" + "a" * 1000]}) == [(("body", name, 0), "string_too_long")]


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("", "json_pointer"),
        ("webhook_url", "json_pointer"),
        ("a/b", "json_pointer"),
        ("a\n/b", "json_pointer"),
        ("/a~2", "json_pointer"),
        (5, "string_type"),
        (None, "string_type"),
    ],
)
@pytest.mark.parametrize("name", ["require_reason_for", "admin_paths"])
def test_what_is_no_pointer_is_refused_at_its_place(name: str, entry: Any, kind: str) -> None:
    assert errors_of({name: ["/a", entry]}) == [(("body", name, 1), kind)]


# -- which changes it allows

TOKENS = st.sampled_from(["a", "b", "ab", "a/b", "~", "é"])
PATHS = st.lists(TOKENS, min_size=1, max_size=3).map(lambda tokens: join(tuple(tokens)))
SOME_PATHS = st.lists(PATHS, max_size=3)


def is_above_or_below(one: str, other: str) -> bool:
    """What overlapping means, by tokens instead of by text."""
    return all(a == b for a, b in zip(split(one), split(other), strict=False))


def refusal(
    policy: Policy, changed: list[str], reason: str | None = None, *, is_admin: bool = False
) -> tuple[str, tuple[str, ...]] | None:
    try:
        check(policy, iter(changed), reason, is_admin=is_admin)
    except (PathProtected, ReasonRequired) as refused:
        return refused.rule, refused.paths
    return None


def test_an_editor_may_not_touch_what_is_for_admins() -> None:
    policy = Policy(admin_paths=["/webhook_url"])
    changed = ["/name", "/webhook_url"]
    assert refusal(policy, changed, "because") == ("admin_paths", ("/webhook_url",))
    # The controls: without the policy, for an admin, and elsewhere it is allowed.
    assert refusal(OPEN, changed) is None
    assert refusal(policy, changed, is_admin=True) is None
    assert refusal(policy, ["/name"]) is None


def test_a_change_without_a_reason_is_refused_where_every_change_needs_one() -> None:
    policy = Policy(require_reason=True)
    assert refusal(policy, ["/name"]) == ("require_reason", ())
    assert refusal(policy, []) == ("require_reason", ()), "a deletion changes no path"
    assert refusal(policy, ["/name"], "a typo") is None
    assert refusal(OPEN, ["/name"]) is None


def test_a_reason_may_be_needed_for_some_paths_alone() -> None:
    policy = Policy(require_reason_for=["/llm_settings", "/name"])
    changed = ["/idle_message", "/llm_settings/top_p", "/name"]
    touched = ("/llm_settings/top_p", "/name")
    assert refusal(policy, changed) == ("require_reason_for", touched)
    assert refusal(policy, changed, "a typo") is None
    assert refusal(policy, ["/idle_message"]) is None
    assert refusal(policy, []) is None
    assert refusal(OPEN, changed) is None


@pytest.mark.parametrize("blank", [None, "", " ", "\t\n"])
def test_a_blank_reason_is_none(blank: str | None) -> None:
    assert refusal(Policy(require_reason=True), ["/a"], blank) == ("require_reason", ())


@pytest.mark.parametrize("policy", [Policy(require_reason=True), Policy(require_reason_for=["/a"])])
def test_admins_too_must_say_why(policy: Policy) -> None:
    assert refusal(policy, ["/a"], is_admin=True) == refusal(policy, ["/a"], is_admin=False)
    assert refusal(policy, ["/a"], is_admin=True) is not None


def test_who_may_not_change_it_is_not_asked_why() -> None:
    policy = Policy(require_reason=True, require_reason_for=["/a"], admin_paths=["/a"])
    assert refusal(policy, ["/a"]) == ("admin_paths", ("/a",))
    assert refusal(policy, ["/a"], is_admin=True) == ("require_reason", ())


@pytest.mark.parametrize(
    ("rule", "path", "does"),
    [
        ("/llm_settings", "/llm_settings", True),
        ("/llm_settings", "/llm_settings/top_p", True),
        ("/llm_settings/top_p", "/llm_settings", True),
        ("/llm", "/llm_settings", False),
        ("/llm_settings", "/llm", False),
        ("/llm_settings/top", "/llm_settings/top_p", False),
        ("/a~1b", "/a/b", False),
        ("/custom_tools/0/name", "/custom_tools", True),  # a list changes as a whole
    ],
)
def test_a_rule_covers_what_lies_above_and_below_but_no_other_name(
    rule: str, path: str, *, does: bool
) -> None:
    assert (refusal(Policy(admin_paths=[rule]), [path]) is not None) == does
    assert (refusal(Policy(require_reason_for=[rule]), [path]) is not None) == does


@modest
@for_all(SOME_PATHS, SOME_PATHS)
def test_exactly_the_paths_that_overlap_a_rule_are_refused(
    rules: list[str], changed: list[str]
) -> None:
    touched = tuple(p for p in changed if any(is_above_or_below(p, rule) for rule in rules))
    assert touched == tuple(p for p in changed if any(overlaps(p, rule) for rule in rules))
    protected = refusal(Policy(admin_paths=rules), changed)
    assert protected == (("admin_paths", touched) if touched else None)
    unexplained = refusal(Policy(require_reason_for=rules), changed)
    assert unexplained == (("require_reason_for", touched) if touched else None)


@modest
@for_all(admin_paths=SOME_PATHS, explained=SOME_PATHS, changed=SOME_PATHS, always=st.booleans())
def test_an_admin_with_a_reason_may_change_everything(
    admin_paths: list[str], explained: list[str], changed: list[str], *, always: bool
) -> None:
    policy = Policy(require_reason=always, require_reason_for=explained, admin_paths=admin_paths)
    assert refusal(policy, changed, "because", is_admin=True) is None


def test_the_largest_policy_checks_the_largest_change() -> None:
    policy = Policy(
        require_reason_for=[f"/custom_settings/{'a/' * 400}{n}" for n in range(100)],
        admin_paths=[f"/custom_settings/{'b/' * 400}{n}" for n in range(100)],
    )
    assert refusal(policy, [f"/custom_settings/{n}" for n in range(100_000)]) is None


# -- warnings


def with_values(*values: tuple[str, Any]) -> Tree:
    settings = DEFAULTS
    for path, value in values:
        settings = put(settings, path, value)
    return settings


def warned(path: str, old: Any, new: Any) -> list[tuple[str, str]]:
    """The rules and paths of what is said when one setting goes from one value to another."""
    found = warnings(with_values((path, old)), with_values((path, new)))
    return [(warning.rule, warning.path) for warning in found]


REPEATS = [("prompt-repeats-itself", PROMPT)]
SHRINKS = [("prompt-shrinks", PROMPT)]


@pytest.mark.parametrize("blanks", ["", " ", "\n\n", "\r\n \t", "\u00a0", " " * 1001])
def test_a_prompt_pasted_twice_in_a_row_is_suspicious(blanks: str) -> None:
    assert warned(PROMPT, "Be brief.", TEXT + blanks + TEXT) == REPEATS
    assert warned(PROMPT, "Be brief.", f"\n{TEXT}{blanks}{TEXT} ") == REPEATS
    assert warned(PROMPT, None, TEXT + blanks + TEXT) == REPEATS
    # The control: another text after it is not.
    assert warned(PROMPT, "Be brief.", TEXT + blanks + TEXT.upper()) == []
    assert warned(PROMPT, "Be brief.", TEXT + blanks + TEXT[1:]) == []
    assert warned(PROMPT, "Be brief.", f"{TEXT}{blanks}-{blanks}{TEXT}") == []


@pytest.mark.parametrize(
    "new",
    [
        f"{TEXT} {TEXT}",
        f"# New\n{TEXT}\n# Old\n{TEXT}\n# End",
        f"{TEXT}{TEXT}{TEXT}",
        f"a{TEXT}b{TEXT}",
    ],
)
def test_a_prompt_that_holds_the_old_one_twice_is_suspicious(new: str) -> None:
    assert warned(PROMPT, TEXT, new) == REPEATS
    assert warned(PROMPT, f"  {TEXT}\n", new) == REPEATS


def test_a_prompt_that_holds_the_old_one_once_is_not() -> None:
    assert warned(PROMPT, TEXT, f"# New\n{TEXT}\n# End") == []
    assert warned(PROMPT, TEXT, TEXT + TEXT[: len(TEXT) // 2]) == []
    assert warned(PROMPT, "a" * 100, "a" * 199) == [], "the two would overlap"


def test_short_texts_repeat_by_chance() -> None:
    assert warned(PROMPT, None, "a" * 39 + " " + "a" * 39) == []
    assert warned(PROMPT, None, "a" * 40 + " " + "a" * 40) == REPEATS
    assert warned(PROMPT, "ab" * 19 + "c", ("ab" * 19 + "c") * 3) == []
    assert warned(PROMPT, "ab" * 19 + "cd", ("ab" * 19 + "cd") * 3) == REPEATS


def test_a_prompt_that_repeated_itself_before_is_no_news() -> None:
    before = with_values((PROMPT, f"{TEXT}\n{TEXT}"))
    assert warnings(before, put(before, "/llm_settings/top_p", 0.5)) == []
    assert warned(PROMPT, f"{TEXT}\n{TEXT}", f"{TEXT}\n{TEXT}\n# End") == []


def holds_itself_twice(text: str) -> bool:
    """By the definition, trying every length."""
    text = text.strip()
    return any(
        text[:length] == text[-length:] and not text[length:-length].strip()
        for length in range(40, len(text) // 2 + 1)
    )


@st.composite
def prompts(draw: st.DrawFn) -> str:
    """Mostly a text and its like, with blanks around them."""
    text = draw(st.text("ab ", min_size=30, max_size=60)) + draw(st.sampled_from(["", "c"]))
    like = draw(st.sampled_from([text, text.strip(), text[:-1], text[1:], text + "a"]))
    first, between, last = (draw(st.text(" \n", max_size=3)) for _ in range(3))
    return first + text + between + like + last


@modest
@for_all(prompts())
def test_what_is_found_at_the_middle_is_what_trying_every_length_finds(prompt: str) -> None:
    assert (warned(PROMPT, None, prompt) == REPEATS) == holds_itself_twice(prompt)


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (None, "a" * MILLION, REPEATS),
        (None, "a" * (MILLION + 1), []),
        (None, "a" * MILLION + "b" + "a" * MILLION, []),
        # Of odd length, so that no text is twice its half and the old one is looked for.
        ("a" * (MILLION // 2), "a" * (MILLION + 1), REPEATS),
        ("a" * (MILLION // 2), "a" * (MILLION - 1), []),
        ("a" * 1000, "a" * (MILLION + 1), REPEATS),
        ("a" * 500 + "b" + "a" * 500, "a" * (MILLION + 1), []),
        ("a" * 250_000 + "b" + "a" * 250_000, "a" * (MILLION + 1), []),
        ("b" + "a" * 250_000, "a" * (MILLION + 1), []),
        ("a" * 250_000 + "b", "a" * (MILLION + 1), []),
        ("a" * 250_000 + "b", ("a" * 250_000 + "c") * 4 + "a", []),
        ("ab" * 250_000 + "b", "ab" * (MILLION // 2) + "a", []),
        ("ab" * 250_000, "ab" * (MILLION // 2) + "a", REPEATS),
        ("a" * 14_000 + "ba", "a" * 29_991, []),
        (TEXT, " " * MILLION, []),
        (TEXT, "a" + " " * MILLION + "a", []),
        (TEXT, "a " * (MILLION // 2), REPEATS),
        (" " * MILLION, " " * (MILLION - 1), []),
        ("a" * MILLION, "", SHRINKS),
    ],
)
def test_no_prompt_takes_more_time_than_its_length(
    old: str | None, new: str, rules: list[tuple[str, str]]
) -> None:
    # No clock: in quadratic time, these would take hours.
    assert warned(PROMPT, old, new) == rules


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (100, 19, SHRINKS),
        (100, 20, []),
        (99, 0, []),
        (101, 20, SHRINKS),
        (1000, 0, SHRINKS),
        (1000, 199, SHRINKS),
        (1000, 200, []),
        (19, 100, []),
    ],
)
def test_a_prompt_of_which_less_than_a_fifth_is_left_is_suspicious(
    old: int, new: int, rules: list[tuple[str, str]]
) -> None:
    assert warned(PROMPT, "x" * old, (TEXT * 4)[:new]) == rules


@pytest.mark.parametrize("path", [PROMPT, "/llm_settings"])
def test_a_prompt_that_is_gone_has_shrunk(path: str) -> None:
    before = with_values((PROMPT, "x" * 100))
    for after in (put(before, path, None), put(before, path, msgspec.UNSET)):
        (found,) = warnings(before, after)
        assert found.rule == "prompt-shrinks"
        assert found.message == "The system prompt shrank from 100 to 0 characters."


def test_a_prompt_that_became_a_url_with_a_password_has_the_length_of_the_url() -> None:
    url = secret("a") | {"url": "https://example.com/" + "x" * 100}
    assert warned(PROMPT, "x" * 120, url) == []
    assert warned(PROMPT, url, "x") == SHRINKS


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        (True, False, [("recording-switched-off", RECORDING)]),
        (False, True, []),
        (False, False, []),
        (None, False, []),
        (True, None, []),
    ],
)
def test_recording_that_is_switched_off_is_suspicious(
    old: Any, new: Any, rules: list[tuple[str, str]]
) -> None:
    assert warned(RECORDING, old, new) == rules


def test_recording_settings_that_are_null_again_are_the_defaults_and_record() -> None:
    assert warned("/recording_settings", {"enabled": True}, None) == []


@pytest.mark.parametrize("off", [False, None, msgspec.UNSET])
def test_disclosure_that_is_switched_off_is_suspicious(off: Any) -> None:
    on = True
    assert warned(DISCLOSURE, on, off) == [("disclosure-switched-off", DISCLOSURE)]
    assert warned(DISCLOSURE, off, on) == []
    assert warned(DISCLOSURE, off, None) == []
    assert warned(DISCLOSURE, on, on) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["+14155551234"], ["+14155551235"]),
        (["+14155551234"], []),
        ([], ["+14155551234"]),
        (["+1", "+2"], ["+2", "+1"]),
        (["+1"], ["+1", "+1"]),
        (["+1"], None),
        ([secret("a") | {"url": "sip://b"}], [secret("c") | {"url": "sip://b"}]),
    ],
)
def test_any_other_transfer_numbers_are_suspicious(old: Any, new: Any) -> None:
    assert warned(NUMBERS, old, new) == [("transfer-numbers-changed", NUMBERS)]
    assert warned(NUMBERS, old, old) == []


@pytest.mark.parametrize("none", [[], None, msgspec.UNSET])
def test_no_transfer_numbers_are_no_transfer_numbers(none: Any) -> None:
    assert warned(NUMBERS, none, []) == []
    assert warned(NUMBERS, [], none) == []


@pytest.mark.parametrize("path", [ENABLED_TOOLS, CUSTOM_TOOLS])
@pytest.mark.parametrize("none", [[], None, msgspec.UNSET])
def test_tools_that_are_all_gone_are_suspicious(path: str, none: Any) -> None:
    tools = [{"tool_id": 1}, {"tool_id": 2}] if path == CUSTOM_TOOLS else ["endCall", "sendSms"]
    assert warned(path, tools, none) == [("tools-emptied", path)]
    assert warned(path, tools, tools[:1]) == []
    assert warned(path, none, tools) == []
    assert warned(path, none, []) == []


EVERYTHING = with_values(
    (PROMPT, "x" * 300),
    (RECORDING, True),
    (DISCLOSURE, True),
    (NUMBERS, ["+14155551234"]),
    (ENABLED_TOOLS, ["transferCall"]),
    (CUSTOM_TOOLS, [{"tool_id": 4711}, {"tool_id": 4712}]),
)


def test_each_suspicion_is_told_once_and_in_the_same_order() -> None:
    after = put(DEFAULTS, RECORDING, value=False)
    after = put(after, PROMPT, "Be brief.")
    assert [(w.rule, w.path) for w in warnings(EVERYTHING, after)] == [
        ("prompt-shrinks", PROMPT),
        ("recording-switched-off", RECORDING),
        ("disclosure-switched-off", DISCLOSURE),
        ("transfer-numbers-changed", NUMBERS),
        ("tools-emptied", ENABLED_TOOLS),
        ("tools-emptied", CUSTOM_TOOLS),
    ]


def test_no_warning_holds_a_value_but_counts_are_told() -> None:
    doubled = put(put(EVERYTHING, PROMPT, f"{TEXT} {TEXT}"), NUMBERS, ["+442071838750"])
    said = [*warnings(EVERYTHING, {}), *warnings(EVERYTHING, doubled)]
    text = json.dumps([msgspec.to_builtins(warning) for warning in said])
    for value in ("xx", TEXT, "+14155551234", "+442071838750", "transferCall", "4711"):
        assert value not in text
    assert "shrank from 300 to 0 characters" in text
    assert "numbers: 1 removed." in text
    assert "it had 2" in text


# Values of every kind at the places that are looked at, and in place of what lies above them.
_LIKELY: SearchStrategy[Any] = st.sampled_from(
    [True, False, None, [], ["+1"], ["+2", "+1"], {}, TEXT, TEXT * 2, "x" * 300]
)
_PLACES = st.sampled_from([*WATCHED, *{path.rpartition("/")[0] for path in WATCHED}, "/name"])
_SETTINGS = st.lists(st.tuples(_PLACES, _LIKELY | VALUES | st.just(msgspec.UNSET)), max_size=6).map(
    lambda values: with_values(*values)
)


@modest
@for_all(_SETTINGS | st.just({}), _SETTINGS | st.just({}))
def test_whatever_the_settings_are_only_what_changed_is_warned_of(
    before: Tree, after: Tree
) -> None:
    found = warnings(before, after)
    changed = diff(before, after)
    assert all(any(overlaps(warning.path, path) for path in changed) for warning in found)
    assert found == warnings(before, after)
    assert len({(warning.rule, warning.path) for warning in found}) == len(found)


@modest
@for_all(_SETTINGS)
def test_settings_that_stay_as_they_are_are_never_warned_of(settings: Tree) -> None:
    assert warnings(settings, json.loads(json.dumps(settings))) == []


def test_a_warning_has_the_members_that_clients_see() -> None:
    (found,) = warnings(with_values((RECORDING, True)), with_values((RECORDING, False)))
    assert found == Warned(
        rule="recording-switched-off", path=RECORDING, message="Calls are no longer recorded."
    )
    assert msgspec.to_builtins(found).keys() == {"rule", "path", "message"}
