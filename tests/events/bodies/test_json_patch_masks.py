"""A JSON Patch leaves each mask with its own secret, or is refused."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import jsonpatch
import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from events import pointers
from events.bodies import documents
from events.bodies.json_patch import PatchTestFailed, read_json_patch
from events.errors import InvalidSettings
from events.pointers import MARK, Path, Tree
from events.secrets.masks import MASK
from events.secrets.references import URL, mask, places
from tests.events.given import secret
from tests.events.operations import (
    FALLBACKS,
    MASKS,
    NEW,
    PLACES,
    STOCKED,
    after,
    command,
    elsewhere,
    errors,
    fallback,
    fallbacks_of,
    id_of,
    move,
    op,
    pointers_into,
    story,
    with_fallbacks,
)
from tests.events.strategies import few, many, modest


def test_a_mask_that_stays_at_its_place_keeps_its_secret() -> None:
    assistant = story(
        {
            "llm_provider_config": {"api_key": "sk-1", "custom_config": {"token": "t", "a": 1}},
            "webhook_headers": {"A": "one"},
            "webhook_url": "https://user:password@example.com/a",
            "custom_settings": {"api_keys": ["k", "l"], "auth": {"token": "t"}},
            "llm_fallback_providers": {"fallbacks": [fallback("groq"), fallback("xai")]},
        }
    )
    assert len(list(places(assistant.state.settings))) == 9
    settings = after(
        assistant,
        op("replace", "/llm_provider_config/custom_config/a", 2),
        op("add", "/webhook_headers/B", "two"),
        op("add", "/custom_settings/auth/user", "x"),
        op("replace", f"{FALLBACKS}/1/model", "large"),
    )
    kept = {place.at: place.reference for place in places(assistant.state.settings)}
    now = {place.at: place.reference for place in places(settings)}
    assert kept.items() <= now.items()
    assert now.keys() - kept.keys() == {("webhook_headers", "B")}
    assert fallbacks_of(settings)[1]["model"] == "large"


def test_a_mask_may_be_tested_and_a_secret_may_not() -> None:
    assistant = story({"llm_provider_config": {"api_key": "sk-1"}})
    assistant.when(command(assistant, op("test", "/llm_provider_config/api_key", MASK))).then()
    with pytest.raises(PatchTestFailed):
        command(assistant, op("test", "/llm_provider_config/api_key", "sk-1"))
    with pytest.raises(PatchTestFailed):
        command(assistant, op("test", "/llm_provider_config/api_key", secret("id-0")))


def test_the_mask_of_an_erased_secret_stays_too() -> None:
    assistant = story({"llm_provider_config": {"api_key": "sk-1"}})
    settings = copy.deepcopy(assistant.state.settings)
    settings["llm_provider_config"]["api_key"][MARK]["id"] = "2.0"
    operations = [
        op("test", "/llm_provider_config/api_key", "erased"),
        op("replace", "/llm_provider_config/model", "x"),
    ]
    read = read_json_patch(operations, settings, 2)
    assert "erased" not in repr(read.tree)
    assert repr(settings["llm_provider_config"]["api_key"]) in repr(read.tree)


def test_a_fallback_that_is_moved_takes_its_secret_along() -> None:
    assistant = with_fallbacks(fallback("openai"), fallback("groq"), fallback("xai"))
    one, two, three = fallbacks_of(assistant.state.settings)
    assert fallbacks_of(after(assistant, move(f"{FALLBACKS}/2", f"{FALLBACKS}/0"))) == [
        three,
        one,
        two,
    ]
    assert fallbacks_of(after(assistant, op("remove", f"{FALLBACKS}/0"))) == [two, three]
    new = fallbacks_of(after(assistant, op("add", f"{FALLBACKS}/0", fallback("azure"))))
    assert new[1:] == [one, two, three]


def test_a_url_that_is_moved_in_a_list_takes_its_credentials_along() -> None:
    assistant = story(
        {"custom_settings": {"hooks": ["https://a:b@c.example", "https://a:c@d.example"]}}
    )
    one, two = assistant.state.settings["custom_settings"]["hooks"]
    settings = after(assistant, move("/custom_settings/hooks/1", "/custom_settings/hooks/0"))
    assert settings["custom_settings"]["hooks"] == [two, one]


def test_the_names_in_a_schema_are_those_of_data_to_come() -> None:
    assistant = story({"custom_settings": {"structured_data_schema": {"api_key": "string"}}})
    settings = after(
        assistant, op("add", "/custom_settings/structured_data_schema/token", "string")
    )
    schema = settings["custom_settings"]["structured_data_schema"]
    assert schema == {"api_key": "string", "token": "string"}


def test_a_secret_does_not_go_to_another_provider_of_its_place() -> None:
    assistant = with_fallbacks(fallback("openai"), fallback("groq"))
    assert errors(assistant, op("replace", f"{FALLBACKS}/0/provider", "elsewhere")) == [
        (("body", *pointers.split(FALLBACKS), 0, "api_key"), "secret_mask_unmatched")
    ]


def test_a_mask_that_is_sent_keeps_the_secret_or_is_nothing() -> None:
    assistant = story({"llm_provider_config": {"api_key": "sk-1"}})
    assistant.when(command(assistant, op("replace", "/llm_provider_config/api_key", MASK))).then()
    assistant.when(command(assistant, op("add", "/webhook_headers", {"A": MASK}))).then()


def test_the_mask_of_a_url_keeps_its_credentials_on_its_own_host_alone() -> None:
    assistant = story({"webhook_url": "https://user:password@example.com/a"})
    operations = [
        op("test", "/webhook_url", f"https://{MASK}@example.com/a"),
        op("replace", "/webhook_url", f"https://{MASK}@example.com/b"),
    ]
    (old,), (new,) = places(assistant.state.settings), places(after(assistant, *operations))
    assert new.reference == old.reference | {"url": "https://example.com/b"}
    evil = op("replace", "/webhook_url", f"https://{MASK}@evil.example/b")
    refused = assistant.when(command(assistant, evil)).errors()
    assert refused == [(("body", "webhook_url"), "secret_address_changed")]


def test_a_header_that_is_a_pair_keeps_its_secret() -> None:
    pair = {"key": "Authorization", "value": "Bearer x"}
    assistant = story({"tools_settings": {"custom_tools": [{"tool_id": 1, "headers": [pair]}]}})
    settings = after(assistant, op("replace", "/tools_settings/end_call/custom_message", "bye"))
    assert list(places(settings)) == list(places(assistant.state.settings))


ELSEWHERE = [
    "/description",
    "/foo",
    "/sms_webhook_url",
    "/webhook_headers/B",
    "/webhook_headers/C",
    "/custom_settings/token",
    "/custom_settings/text",
    "/custom_settings/keys/-",
    "/custom_settings/keys/0",
    "/llm_provider_config/base_url",
    f"{FALLBACKS}/1/api_key",
    f"{FALLBACKS}/1/base_url",
    f"{FALLBACKS}/-",
    "/stt_settings",
    "/stt_settings/endpointing",
    "/bypass_numbers",
    "/name",
]


@pytest.mark.parametrize("kind", ["move", "copy"])
@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize(
    "source",
    ["/llm_provider_config/api_key", "/llm_provider_config/custom_config", "/webhook_headers/A",
     "/webhook_url", "/custom_settings/auth", f"{FALLBACKS}/0/api_key"],
)  # fmt: skip
def test_a_mask_carries_no_secret_to_another_place(kind: str, source: str, target: str) -> None:
    assistant = story(MASKS)
    kinds = {rule for _, rule in errors(assistant, move(source, target, kind))}
    assert kinds <= {"secret_mask_unmatched", "string_type", "list_type", "missing"}


@pytest.mark.parametrize("target", ["/description", "/webhook_headers/C", "/custom_settings/token"])
def test_control_what_is_stored_would_carry_it(target: str) -> None:
    """The operations see masks: on the references themselves, a copy gives the secret away."""
    assistant = story(MASKS)
    operations = [move("/llm_provider_config/api_key", target, "copy")]
    assert elsewhere(assistant, jsonpatch.apply_patch(assistant.state.settings, operations))
    with pytest.raises(InvalidSettings):
        after(assistant, *operations)


def test_a_mask_that_is_moved_away_and_back_is_where_it_was() -> None:
    assistant = story(MASKS)
    assistant.when(
        command(
            assistant,
            move("/webhook_headers/A", "/webhook_headers/C"),
            move("/webhook_headers/C", "/webhook_headers/A"),
        )
    ).then()


TWINS = [fallback("groq", api_key=key) for key in ("sk-old", "sk-new")]


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", f"{FALLBACKS}/0"),
        move(f"{FALLBACKS}/0", f"{FALLBACKS}/1"),
        move(f"{FALLBACKS}/0", f"{FALLBACKS}/2", "copy"),
    ],
    ids=lambda operation: operation["op"],
)
def test_of_two_that_look_alike_none_is_taken_for_the_other(operation: Tree) -> None:
    """To remove the old key must not leave it and remove the new one."""
    assistant = with_fallbacks(*TWINS)
    assert {rule for _, rule in errors(assistant, operation)} == {"secret_mask_unmatched"}


def test_control_without_the_check_the_wrong_key_would_be_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assistant = with_fallbacks(*TWINS)
    monkeypatch.setattr(documents, "_check_masks", lambda *_: None)
    (left,) = fallbacks_of(after(assistant, op("remove", f"{FALLBACKS}/0")))
    old, new = fallbacks_of(assistant.state.settings)
    assert left == old != new


MOVES = st.one_of(
    st.builds(op, st.just("remove"), st.sampled_from(PLACES)),
    st.builds(
        move,
        st.sampled_from(PLACES),
        st.sampled_from([*PLACES, *ELSEWHERE]),
        st.sampled_from(["move", "copy"]),
    ),
)


@modest
@for_all(st.lists(MOVES, min_size=1, max_size=4))
@example([move("/custom_settings/keys/0", "/custom_settings/keys/1")])
def test_operations_on_masks_do_to_the_secrets_what_they_say_or_are_refused(
    operations: list[Tree],
) -> None:
    as_said_or_refused(operations)


@pytest.mark.long
@many
@for_all(st.lists(MOVES, min_size=1, max_size=4))
def test_all_operations_on_masks_do_to_the_secrets_what_they_say_or_are_refused(
    operations: list[Tree],
) -> None:
    """Run it with: pytest -m long tests/events/bodies/test_json_patch_masks.py."""
    as_said_or_refused(operations)


def as_said_or_refused(operations: list[Tree]) -> None:
    with suppress(InvalidSettings):
        result = after(STOCKED, *operations)
        # What they say: the same, done to the references instead of the masks.
        meant = jsonpatch.apply_patch(STOCKED.state.settings, operations)
        assert old_secrets(result) == old_secrets(meant)


def old_secrets(settings: Tree) -> dict[tuple[str, ...], int]:
    return {place.at: id_of(place) for place in places(settings) if id_of(place) < NEW}


TOOLS = "/tools_settings/custom_tools"
OWNED = story(
    {
        "webhook_url": "https://user:password@example.com/a",
        "custom_settings": {"hooks": [{"url": "https://a:b@c.example"}, "https://a:c@d.example"]},
        "llm_fallback_providers": {
            "fallbacks": [
                fallback("groq"),
                fallback("xai", base_url="https://q:r@x.example"),
                fallback("groq", model="large", api_key="sk-large"),
                {"provider": "azure", "config": {"token": "z"}},
            ]
        },
        "tools_settings": {
            "custom_tools": [
                {"tool_id": 1, "headers": {"Authorization": "one"}},
                {"tool_id": 2, "headers": [{"name": "Authorization", "value": "two"}]},
            ]
        },
    }
)
OWNED_PLACES = [
    path
    for path in pointers_into(mask(OWNED.state.settings))
    if path.startswith(("/webhook_url", "/custom_settings", FALLBACKS, TOOLS))
] + [f"{FALLBACKS}/-", f"{TOOLS}/-"]
OWNED_VALUES = st.sampled_from(
    [
        *(MASK, "groq", "xai", "elsewhere", "large", 1, 2, 3, None, [], {}, [MASK, MASK]),
        *(f"https://{MASK}@{host}.example/b" for host in ("c", "d", "x", "evil")),
        *({"provider": name, "api_key": MASK} for name in ("groq", "xai", "elsewhere")),
        {"provider": "groq", "model": "large", "api_key": MASK},
        *({"tool_id": i, "headers": {"Authorization": MASK}} for i in (1, 2, 3)),
    ]
)
ON_OWNED = st.one_of(
    st.builds(op, st.sampled_from(["add", "replace"]), st.sampled_from(OWNED_PLACES), OWNED_VALUES),
    st.builds(op, st.just("remove"), st.sampled_from(OWNED_PLACES)),
    st.builds(
        move,
        st.sampled_from(OWNED_PLACES),
        st.sampled_from(OWNED_PLACES),
        st.sampled_from(["move", "copy"]),
    ),
)
Owner = tuple[tuple[str, ...], Any, str | None]


def owners(settings: Tree) -> list[tuple[int, Owner]]:
    """The stored secrets: each with its place, and its provider, tool and host."""
    return [
        (id_of(place), (place.bound, owner_at(settings, place.at), host_of(place.reference)))
        for place in places(settings)
        if id_of(place) < NEW
    ]


def owner_at(settings: Tree, at: Path) -> Any:
    if not pointers.join(at).startswith((FALLBACKS, TOOLS)):
        return None
    element: Tree = settings[at[0]][at[1]][int(at[2])]
    return element.get("provider", element.get("tool_id"))


def host_of(reference: Tree) -> str | None:
    url: str | None = reference.get(URL)
    return url and url.split("/")[2]


def stays_with_its_owner(operations: list[Tree]) -> None:
    """Those of the operations that can be carried out together leave each secret where it is."""
    carried_out: list[Tree] = []
    settings = OWNED.state.settings
    for operation in operations:
        with suppress(InvalidSettings):
            settings = after(OWNED, *carried_out, operation)
            carried_out.append(operation)
    left = owners(settings)
    assert len(dict(left)) == len(left)
    assert dict(left).items() <= dict(owners(OWNED.state.settings)).items()


@few
@for_all(st.lists(ON_OWNED, min_size=1, max_size=5))
def test_a_secret_stays_with_its_provider_its_tool_and_its_host(operations: list[Tree]) -> None:
    stays_with_its_owner(operations)


@pytest.mark.long
@many
@for_all(st.lists(ON_OWNED, min_size=1, max_size=5))
def test_every_secret_stays_with_its_provider_its_tool_and_its_host(operations: list[Tree]) -> None:
    """Run it with: pytest -m long tests/events/bodies/test_json_patch_masks.py."""
    stays_with_its_owner(operations)


@pytest.mark.parametrize("path", [f"{FALLBACKS}/0/provider", f"{TOOLS}/0/tool_id", "/webhook_url"])
def test_control_the_law_notices_a_secret_whose_owner_is_another(path: str) -> None:
    """Done to the references themselves, the edit leaves the secret with the new owner."""
    settings = copy.deepcopy(OWNED.state.settings)
    edited = op("replace", path, "elsewhere")
    if path == "/webhook_url":
        edited = op("replace", "/webhook_url/url", "https://evil.example")
    leaked = jsonpatch.apply_patch(settings, [edited])
    assert not dict(owners(leaked)).items() <= dict(owners(settings)).items()
    sent = op("replace", path, f"https://{MASK}@evil.example" if "url" in path else "elsewhere")
    with pytest.raises(InvalidSettings):
        after(OWNED, sent)
