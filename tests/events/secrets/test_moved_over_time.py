"""A kept secret is not sent elsewhere by going back, nor by any series of changes."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any, NamedTuple

import hypothesis
import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.json_patch import read_json_patch
from events.changed import Cause
from events.commands import ChangeSettings, Command, RestoreSettings, UndoChange
from events.decider import decide
from events.errors import InvalidSettings
from events.merging import MergeConflict
from events.pointers import MARK, Tree
from events.secrets.masks import MASK
from events.secrets.references import places
from tests.events.given import PATCH, Given, create, created, envelope, given, patch, sealed, secret
from tests.events.strategies import many, modest

# -- going back

GOOD, EVIL = "https://good.example", "https://evil.example"


def moved(*bodies: Tree) -> Given:
    story = given().after(create(bodies[0]))
    for body in bodies[1:]:
        story = story.after(patch(body, itertools.count(100 * len(story.events))))
    return story


def test_a_rollback_to_another_address_does_not_take_todays_secret_there() -> None:
    key = {"llm_provider_config": {"api_key": "old", "base_url": GOOD}}
    story = moved(key, {"llm_provider_config": {"api_key": "new", "base_url": EVIL}})
    then = Given(story.events[:1]).state.settings
    back = RestoreSettings(settings=then, to_version=1)
    assert story.when(back).errors() == [
        (("body", "llm_provider_config", "api_key"), "secret_address_changed")
    ]
    # With the secrets of then, which were set for it, it may.
    old = frozenset(place.reference[MARK]["id"] for place in places(then))
    assert story.when(RestoreSettings(settings=then, to_version=1, restorable=old)).decided()


def test_an_undo_does_not_bring_a_secret_to_an_address_of_then() -> None:
    story = moved(
        {"llm_provider_config": {"base_url": EVIL}},
        {"llm_provider_config": {"base_url": GOOD}},
        {"llm_provider_config": {"api_key": "sk"}},
    )
    before, after = (Given(story.events[:n]).state.settings for n in (1, 2))
    undo = UndoChange(undoes=2, before=before, after=after, cause=Cause(type="undo", undoes=2))
    assert story.when(undo).errors() == [
        (("body", "llm_provider_config", "api_key"), "secret_address_changed")
    ]


def test_one_that_is_moved_is_found_behind_any_number_that_stay() -> None:
    def hooks(key: str, host: str) -> Tree:
        own = [{"url": f"https://h{n}.example", "api_key": key} for n in range(150)]
        return {"custom_settings": {"hooks": [*own, {"url": host, "api_key": key}]}}

    story = given().after(create(hooks("k", GOOD)))
    assert len(story.when(patch(hooks(MASK, EVIL))).errors()) == 1


def test_a_secret_that_is_restored_alone_meets_the_address_of_now() -> None:
    story = moved(
        {"webhook_url": GOOD, "webhook_headers": {"X": "x"}},
        {"webhook_url": EVIL, "webhook_headers": None},
    )
    then = Given(story.events[:1]).state.settings
    ids = frozenset(place.reference[MARK]["id"] for place in places(then))
    back = RestoreSettings(settings=then, to_version=1, restorable=ids, paths=("/webhook_headers",))
    assert story.when(back).errors() == [
        (("body", "webhook_headers", "X"), "secret_address_changed")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 500_000,
        "{" * 500_000,
        "a." * 250_000,
        "a:1" * 200_000,
        "://" * 200_000,
        "[" * 500_000,
        "a@" * 250_000,
        "1." * 250_000,
    ],
)
def test_a_long_text_takes_time_in_proportion(text: str) -> None:
    """A pattern that starts anew at each character would take minutes."""
    changed = {"custom_settings": {"crm": {"token": secret("1"), "note": text}}}
    story = given(created({"custom_settings": {"crm": {"token": secret("1")}}}))
    decide_quietly(ChangeSettings(patch=changed, cause=PATCH), story)


def test_many_secrets_beside_many_addresses_take_time_in_proportion() -> None:
    keys = {f"k{n}": {"token": secret(f"{n}")} for n in range(1000)}
    urls = {f"u{n}": f"https://h{n}.example" for n in range(3000)}
    story = given(created({"custom_settings": {"crm": keys | urls}}))
    changed = {"custom_settings": {"crm": keys | urls | {"u1": EVIL}}}
    decide_quietly(ChangeSettings(patch=changed, cause=PATCH), story)


def decide_quietly(command: Command, story: Given) -> None:
    with suppress(InvalidSettings):
        decide(command, story.state, envelope(2))


def test_an_erased_secret_stands_in_nobodys_way() -> None:
    story = given(created({"llm_provider_config": {"api_key": secret("1.0"), "base_url": GOOD}}))
    move = patch({"llm_provider_config": {"base_url": EVIL}})
    erased = msgspec.structs.replace(story.state, erased_version=1)
    assert decide(move, erased, envelope(2))
    assert story.when(move).refused(InvalidSettings)


# -- arbitrary settings, and arbitrary changes by an editor


HOSTS = st.sampled_from(["a", "b"]).map("https://{}.example/v1".format)
SENT = st.sampled_from(["new", "new", MASK])


def _record(secret: str, url: str, **members: Any) -> st.SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {name: st.just(value) for name, value in members.items()},
        optional={secret: SENT, url: HOSTS | st.none()},
    )


BODIES: st.SearchStrategy[Tree] = st.fixed_dictionaries(
    {},
    optional={
        "llm_provider_config": _record("api_key", "base_url"),
        "llm_fallback_providers": st.fixed_dictionaries(
            {"fallbacks": st.lists(_record("api_key", "base_url", provider="x"), max_size=2)}
        ),
        "tools_settings": st.fixed_dictionaries(
            {"custom_tools": st.lists(_record("api_key", "url", tool_id=1), max_size=1)}
        ),
        "custom_settings": st.fixed_dictionaries(
            {}, optional={"crm": _record("token", "url"), "url": HOSTS, "token": SENT}
        ),
        "webhook_url": HOSTS | st.none(),
        "webhook_headers": st.dictionaries(st.just("Authorization"), SENT, max_size=1),
    },
)


def hosts_of(settings: Tree) -> dict[str, Any]:
    """Where each secret is sent, for a reader who knows the bodies above."""
    found: dict[str, Any] = {}

    def say(secret: Any, *urls: Any) -> None:
        if secret:
            found[secret[MARK]["id"]] = frozenset(filter(None, urls))

    config = settings["llm_provider_config"]
    say(config["api_key"], config["base_url"])
    for one in settings["llm_fallback_providers"]["fallbacks"]:
        say(one["api_key"], one["base_url"])
    for one in settings["tools_settings"]["custom_tools"]:
        say(one.get("api_key"), one.get("url"))
    custom = settings["custom_settings"] or {}
    crm = custom.get("crm") or {}
    say(custom.get("token"), custom.get("url"), crm.get("url"))
    say(crm.get("token"), custom.get("url"), crm.get("url"))
    if settings["webhook_url"]:  # without one, its headers are sent nowhere
        say((settings["webhook_headers"] or {}).get("Authorization"), settings["webhook_url"])
    return found


class Step(NamedTuple):
    """One command of a story; by a caller who may reveal secrets, or by an editor."""

    kind: str
    body: Tree
    version: int
    may_reveal: bool


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["patch", "patch", "patch", "json patch", "rollback", "undo"]),
        BODIES,
        st.integers(1, 6),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=5,
)


def command_of(step: Step, story: Given) -> Command | None:
    settings = [Given(story.events[: n + 1]).state.settings for n in range(len(story.events))]
    version = min(step.version, len(settings))
    ids = frozenset(one for tree in settings for one in hosts_of(tree))
    match step.kind:
        case "patch":
            return patch(step.body, itertools.count(100 * len(settings)))
        case "json patch":
            operations = [
                {"op": "add", "path": f"/{name}", "value": value}
                for name, value in step.body.items()
            ]
            tree = read_json_patch(operations, settings[-1]).tree
            return ChangeSettings(
                patch=sealed(tree, itertools.count(100 * len(settings))), cause=PATCH
            )
        case "rollback":
            then = settings[version - 1]
            return RestoreSettings(settings=then, to_version=version, restorable=ids)
        case _ if version > 1:
            return UndoChange(
                undoes=version,
                before=settings[version - 2],
                after=settings[version - 1],
                cause=Cause(type="undo", undoes=version),
                on_conflict="force",
                restores_secrets=True,
                restorable=ids,
            )
    return None


def check_story(first: Tree, steps: list[Step], *, guarded: bool) -> None:
    """No secret is ever beside a host that nobody who knew it put there."""
    try:
        story = given().after(create(first))
    except InvalidSettings:  # a mask in a list: nothing is stored yet
        return
    known = {one: {hosts} for one, hosts in hosts_of(story.state.settings).items()}
    for step in steps:
        state = story.state
        try:
            command = command_of(step, story)
            said = envelope(len(story.events) + 1)
            may = step.may_reveal or not guarded
            event = command and decide(command, state, said, may_reveal=may)
        except (InvalidSettings, MergeConflict):
            continue
        if event:
            story = Given((*story.events, event))
        for one, hosts in hosts_of(story.state.settings).items():
            if step.may_reveal or one not in known:
                known.setdefault(one, set()).add(hosts)
            assert hosts in known[one], (one, hosts, known[one], step)


@modest
@for_all(BODIES, STEPS)
def test_no_old_secret_is_ever_beside_a_new_host(first: Tree, steps: list[Step]) -> None:
    check_story(first, steps, guarded=True)


@pytest.mark.long
@many
@for_all(BODIES, STEPS)
def test_no_old_secret_is_ever_beside_a_new_host_at_length(first: Tree, steps: list[Step]) -> None:
    """``pytest -m long tests/events/secrets/test_moved_over_time.py``."""
    check_story(first, steps, guarded=True)


def test_control_without_the_rule_one_is() -> None:
    stories = st.tuples(BODIES, STEPS)

    def is_broken(story: tuple[Tree, list[Step]]) -> bool:
        try:
            check_story(*story, guarded=False)
        except AssertionError:
            return True
        return False

    unshrunk = hypothesis.settings(many, phases=(hypothesis.Phase.generate,))
    assert hypothesis.find(stories, is_broken, settings=unshrunk)
