from __future__ import annotations

import csv
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.storage.tables import MAX_ID
from tests.app import stored
from tests.conftest import version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
PLAIN = "sk-live-do-not-show"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture
def path(assistant: dict[str, Any]) -> str:
    return f"{ASSISTANTS}/{assistant['id']}"


def history(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = client.get(f"{path}/settings-history").json()
    return entries


def errors(answer: httpx.Response) -> list[tuple[list[str | int], str]]:
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    return [(error["loc"], error["type"]) for error in answer.json()["detail"]]


# -- create and read


def test_a_name_is_enough_to_create_an_assistant(
    editor: httpx.Client, organization: Organization
) -> None:
    answer = editor.post(ASSISTANTS, json={"name": "  Front desk  "})
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert version_of(answer) == 1
    assert "x-ignored-fields" not in answer.headers
    assert created["version"] == 1
    assert created["name"] == "Front desk"
    assert created["organization_id"] == organization.id
    assert created["user_id"] == editor.get(f"{ASSISTANTS}/me/organization").json()["user_id"]
    assert created["created_at"] == created["updated_at"]
    assert _MOMENT.fullmatch(created["created_at"])


def test_what_is_sent_is_set_and_the_rest_of_its_object_has_defaults(editor: httpx.Client) -> None:
    sent = {"name": "Warm", "llm_settings": {"temperature": 0.9}, "max_call_length": 60}
    created = editor.post(ASSISTANTS, json=sent).json()
    assert created["llm_settings"]["temperature"] == 0.9
    assert created["llm_settings"]["max_tokens"] == 1000
    assert created["max_call_length"] == 60


def test_an_assistant_is_read_as_it_was_answered(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    answer = editor.get(path)
    assert answer.status_code == 200
    assert answer.json() == assistant
    assert version_of(answer) == 1


@pytest.mark.parametrize("name", [None, "", "   "])
def test_a_creation_needs_a_name(editor: httpx.Client, name: str | None) -> None:
    before = editor.get(f"{ASSISTANTS}/count").json()
    refused = errors(editor.post(ASSISTANTS, json={"name": name}))
    assert [loc for loc, _ in refused] == [["body", "name"]]
    assert errors(editor.post(ASSISTANTS, json={})) == [(["body", "name"], "missing")]
    assert editor.get(f"{ASSISTANTS}/count").json() == before


def test_a_name_has_at_most_100_characters(editor: httpx.Client) -> None:
    assert editor.post(ASSISTANTS, json={"name": "é" * 100}).status_code == 201
    refused = errors(editor.post(ASSISTANTS, json={"name": "é" * 101}))
    assert refused == [(["body", "name"], "string_too_long")]


def test_ids_are_counted_in_each_organization(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        for expected in (1, 2):
            assert client.post(ASSISTANTS, json={"name": "One"}).json()["id"] == expected
        client.delete(f"{ASSISTANTS}/2")
        assert client.post(ASSISTANTS, json={"name": "Another"}).json()["id"] == 3


def test_a_reason_given_on_creation_is_accepted_and_not_shown(editor: httpx.Client) -> None:
    sent = {"name": "Said", "change_description": "Because"}
    answer = editor.post(ASSISTANTS, json=sent)
    assert answer.status_code == 201
    assert "change_description" not in answer.json()
    assert "x-ignored-fields" not in answer.headers


# -- change


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_a_change_keeps_what_it_does_not_name(
    editor: httpx.Client, assistant: dict[str, Any], path: str, verb: str
) -> None:
    answer = editor.request(
        verb, path, json={"tts_settings": {"background_sound": {"loop": False}}}
    )
    changed = answer.json()
    assert answer.status_code == 200
    assert version_of(answer) == 2
    assert changed["version"] == 2
    assert changed["updated_at"] > assistant["updated_at"]
    assistant["tts_settings"]["background_sound"]["loop"] = False
    for name in ("version", "updated_at"):
        changed[name] = assistant[name]
    assert changed == assistant
    assert editor.get(path).json()["version"] == 2


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_lists_are_replaced_and_objects_merged(editor: httpx.Client, path: str, verb: str) -> None:
    for body in (
        {"stt_settings": {"keyterms": ["pizza", "pasta"], "keywords": [{"keyword": "x"}]}},
        {"stt_settings": {"keyterms": ["salad"]}},
    ):
        changed = editor.request(verb, path, json=body).json()
    assert changed["stt_settings"]["keyterms"] == ["salad"]
    assert changed["stt_settings"]["keywords"] == [{"keyword": "x", "intensifier": 1.0}]


def test_custom_settings_merge_one_level_deep(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"custom_settings": {"a": {"x": 1, "y": 2}, "b": 1}})
    changed = editor.patch(path, json={"custom_settings": {"a": {"z": 3}, "b": None}}).json()
    assert changed["custom_settings"] == {"a": {"z": 3}}


def test_a_structured_data_schema_may_be_a_json_string(editor: httpx.Client, path: str) -> None:
    sent = {"custom_settings": {"structured_data_schema": '{"type": "object"}'}}
    changed = editor.patch(path, json=sent).json()
    assert changed["custom_settings"] == {"structured_data_schema": {"type": "object"}}
    for wrong in ("{", "[1]", 5):
        sent = {"custom_settings": {"structured_data_schema": wrong}}  # type: ignore[dict-item]
        refused = errors(editor.patch(path, json=sent))
        assert refused[0][0] == ["body", "custom_settings", "structured_data_schema"]


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize("value", [None, "", "   "])
def test_null_or_blank_clears_a_text(
    editor: httpx.Client, path: str, verb: str, value: str | None
) -> None:
    editor.patch(path, json={"idle_message": "Hello?"})
    assert editor.request(verb, path, json={"idle_message": value}).json()["idle_message"] is None


def test_a_blank_inside_an_object_is_a_value(editor: httpx.Client, path: str) -> None:
    changed = editor.patch(path, json={"llm_settings": {"welcome_message": ""}}).json()
    assert changed["llm_settings"]["welcome_message"] == ""


@pytest.mark.parametrize(
    "name",
    ["llm_settings", "tts_settings", "stt_settings", "tools_settings", "recording_settings"],
)
def test_null_puts_a_settings_object_back_to_its_defaults(
    editor: httpx.Client, assistant: dict[str, Any], path: str, name: str
) -> None:
    members = {
        "llm_settings": {"temperature": 2},
        "tts_settings": {"voice_id": "adam"},
        "stt_settings": {"model": "nova-3"},
        "tools_settings": {"end_call": {"enabled": True}},
        "recording_settings": {"enabled": False, "unknown": 1},
    }
    assert editor.patch(path, json={name: members[name]}).json()[name] != assistant[name]
    assert editor.patch(path, json={name: None}).json()[name] == assistant[name]


@pytest.mark.parametrize(
    "name", ["name", "llm_provider", "is_active", "conversation_continuity_enabled"]
)
def test_null_is_ignored_where_it_has_no_meaning(
    editor: httpx.Client, assistant: dict[str, Any], path: str, name: str
) -> None:
    answer = editor.patch(path, json={name: None})
    assert answer.status_code == 200
    assert answer.json() == assistant


def test_null_for_a_member_that_must_have_a_value_is_refused(
    editor: httpx.Client, path: str
) -> None:
    body = {"stt_settings": {"model": None, "punctuate": None, "provider": None}}
    assert [loc for loc, _ in errors(editor.patch(path, json=body))] == [
        ["body", "stt_settings", "model"],
        ["body", "stt_settings", "punctuate"],
    ]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"max_idle_messages": "5"}, 5),
        ({"max_idle_messages": 5.0}, 5),
        ({"is_active": "off"}, False),
        ({"is_active": 0}, False),
        ({"is_active": "No"}, False),
        ({"conversation_continuity_enabled": "false"}, False),
        ({"tts_limit": "1000"}, 1000),
    ],
)
def test_values_are_coerced_as_the_published_api_does(
    editor: httpx.Client, path: str, body: dict[str, Any], shown: Any
) -> None:
    (name,) = body
    changed = editor.patch(path, json=body).json()[name]
    assert changed == shown
    assert type(changed) is type(shown)


def test_a_change_that_changes_nothing_records_nothing(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    assistant: dict[str, Any],
    path: str,
) -> None:
    before = stored.rows(server.database, organization.id)
    for verb, body in (
        ("PATCH", {}),
        ("PUT", {}),
        ("PATCH", {"name": "Front desk"}),
        ("PATCH", {"llm_settings": {"temperature": 0.5}, "change_description": "Again"}),
        ("PUT", assistant),
    ):
        answer = editor.request(verb, path, json=body)
        assert answer.status_code == 200
        assert version_of(answer) == 1
        assert answer.json() == assistant
    assert editor.patch(f"{path}/status?is_active=true").json() == assistant
    assert stored.rows(server.database, organization.id) == before
    # The control: a change does leave its mark.
    editor.patch(path, json={"llm_settings": {"temperature": 0.6}})
    assert stored.rows(server.database, organization.id) != before


def test_what_was_read_can_be_sent_back(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    strictly = {"prefer": "handling=strict"}
    for verb in ("PATCH", "PUT"):
        answer = editor.request(verb, path, json=assistant, headers=strictly)
        assert answer.json() == assistant
        assert "x-ignored-fields" not in answer.headers
    # Strict is the control of itself: it does refuse what is not known.
    assert errors(editor.patch(path, json=assistant | {"nane": "x"}, headers=strictly))


def test_a_status_is_changed_by_its_query(editor: httpx.Client, path: str) -> None:
    # SDKs declare JSON and send nothing.
    as_sdks_do = {"content-type": "application/json"}
    answer = editor.patch(f"{path}/status?is_active=false", headers=as_sdks_do)
    assert answer.status_code == 200
    assert answer.request.headers["content-length"] == "0"
    assert answer.json()["is_active"] is False
    assert version_of(answer) == 2
    assert editor.patch(f"{path}/status?is_active=true").json()["is_active"] is True


def test_a_status_without_its_query_is_refused(editor: httpx.Client, path: str) -> None:
    assert errors(editor.patch(f"{path}/status")) == [(["query", "is_active"], "missing")]
    refused = errors(editor.patch(f"{path}/status?is_active=perhaps"))
    assert refused == [(["query", "is_active"], "bool_parsing")]


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_settings_that_would_be_too_large_are_refused_and_nothing_is_recorded(
    server: Server, organization: Organization, editor: httpx.Client, path: str, verb: str
) -> None:
    prompt = {"llm_settings": {"system_prompt": "x" * 1_000_000}}
    assert editor.patch(path, json=prompt).is_success
    assert editor.patch(path, json={"custom_settings": {"a": "x" * 1_000_000}}).is_success
    before = stored.rows(server.database, organization.id)
    more = {"custom_settings": {"b": "x" * 100_000}}
    assert errors(editor.request(verb, path, json=more)) == [(["body"], "too_large")]
    assert stored.rows(server.database, organization.id) == before
    # The control: with less of something else there is room for it.
    assert editor.request(verb, path, json=more | {"llm_settings": None}).is_success


# -- what is not known


def test_ignored_members_are_named_by_their_pointers(editor: httpx.Client, path: str) -> None:
    body = {
        "nmae": 1,
        "llm_settings": {"a/b": 2, "max_tokens": 5},
        "stt_settings": {"keywords": [{"keyword": "x", "weight": 1}]},
        "voice_mode": "cascade",
    }
    answer = editor.patch(path, json=body)
    assert answer.headers["x-ignored-fields"] == (
        "/nmae, /llm_settings/a~1b, /stt_settings/keywords/0/weight, /voice_mode"
    )
    assert answer.json()["llm_settings"]["max_tokens"] == 5
    assert "nmae" not in answer.json()
    assert "weight" not in answer.text


def test_a_name_that_no_header_can_hold_is_percent_encoded(editor: httpx.Client, path: str) -> None:
    answer = editor.patch(path, json={'é,"': 1, "a\r\nSet-Cookie: x=1": 2})
    assert answer.headers["x-ignored-fields"] == "/%C3%A9%2C%22, /a%0D%0ASet-Cookie%3A%20x%3D1"
    assert "set-cookie" not in answer.headers


def test_many_ignored_members_still_fit_a_header(editor: httpx.Client, path: str) -> None:
    answer = editor.patch(path, json={f"unknown_{n}": n for n in range(5000)})
    assert answer.status_code == 200
    assert len(answer.headers["x-ignored-fields"]) <= 4000
    assert answer.headers["x-ignored-fields"].startswith("/unknown_0, /unknown_1, ")


def test_one_long_name_does_not_hide_the_others(editor: httpx.Client, path: str) -> None:
    answer = editor.patch(path, json={"x" * 5000: 1, "nmae": 2})
    assert "/nmae" in answer.headers["x-ignored-fields"]


@pytest.mark.parametrize(
    "prefer",
    ["handling=strict", "Handling=Strict", "respond-async, handling=strict", 'handling="strict"'],
)
def test_strict_handling_refuses_unknown_members_and_suggests(
    editor: httpx.Client, path: str, prefer: str
) -> None:
    body = {"descripton": "x", "tts_settings": {"voiceid": "x"}}
    answer = editor.patch(path, json=body, headers={"prefer": prefer})
    assert errors(answer) == [
        (["body", "descripton"], "extra_forbidden"),
        (["body", "tts_settings", "voiceid"], "extra_forbidden"),
    ]
    said = [error["msg"] for error in answer.json()["detail"]]
    assert "description" in said[0]
    assert "voice_id" in said[1]
    assert editor.get(path).json()["version"] == 1


def test_lenient_handling_is_the_default(editor: httpx.Client, path: str) -> None:
    answer = editor.patch(path, json={"descripton": "x"}, headers={"prefer": "handling=lenient"})
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "/descripton"


def test_free_form_maps_take_any_member_in_strict_handling_too(
    editor: httpx.Client, path: str
) -> None:
    body = {
        "custom_settings": {"x": {"y": [1]}},
        "llm_provider_config": {"custom_config": {"api_version": "2024-06-01"}},
        "tts_settings": {"provider_config": {"language": "de"}},
        "stt_settings": {"provider_config": {"region": "eu"}},
        "recording_settings": {"bucket": "calls"},
        "llm_fallback_providers": {"fallbacks": [{"provider": "xai", "config": {"depth": 1}}]},
    }
    answer = editor.patch(path, json=body, headers={"prefer": "handling=strict"})
    changed = answer.json()
    assert answer.status_code == 200
    assert changed["custom_settings"] == {"x": {"y": [1]}}
    assert changed["llm_provider_config"]["custom_config"] == {"api_version": "2024-06-01"}
    assert changed["tts_settings"]["provider_config"] == {"language": "de"}
    assert changed["stt_settings"]["provider_config"] == {"region": "eu"}
    assert changed["recording_settings"]["bucket"] == "calls"
    assert changed["llm_fallback_providers"]["fallbacks"][0]["config"] == {"depth": 1}


def test_members_that_only_clients_know_are_kept(editor: httpx.Client) -> None:
    body = {
        "name": "Extras",
        "webhook_headers": {"x-tenant": "t1"},
        "messaging_service_sid": "MG1",
        "recording_settings": {"format": "wav"},
        "stt_settings": {"vad_turnoff": 250},
        "llm_fallback_providers": {"fallbacks": [{"provider": "groq", "enabled": False}]},
    }
    answer = editor.post(ASSISTANTS, json=body)
    created = answer.json()
    assert "x-ignored-fields" not in answer.headers
    assert list(created["webhook_headers"]) == ["x-tenant"]
    assert created["messaging_service_sid"] == "MG1"
    assert created["recording_settings"]["format"] == "wav"
    assert created["stt_settings"]["vad_turnoff"] == 250
    assert created["llm_fallback_providers"]["fallbacks"][0]["enabled"] is False


@pytest.mark.parametrize(
    ("sent", "place", "shown"),
    [
        (
            {"backchannel_generation_settings": {"enabled": True}},
            ("backchannel_settings",),
            {"enabled": True, "frequency": 3},
        ),
        ({"tts_settings": {"tts_model_id": "flash"}}, ("tts_settings", "model_id"), "flash"),
        ({"llm_settings": {"model": "gpt-4o"}}, ("llm_provider_config", "model"), "gpt-4o"),
        (
            {"llm_settings": {"model": "a"}, "llm_provider_config": {"model": "b"}},
            ("llm_provider_config", "model"),
            "b",
        ),
        (
            {"stt_settings": {"endpointing": 10}},
            ("stt_settings", "endpointing"),
            {"silence_threshold": 10, "min_silence_duration": 500},
        ),
        (
            {"stt_settings": {"keyterms": "ham, eggs"}},
            ("stt_settings", "keyterms"),
            ["ham", "eggs"],
        ),
        ({"stt_settings": {"keyterms": "ham eggs"}}, ("stt_settings", "keyterms"), ["ham", "eggs"]),
        (
            {"stt_settings": {"keywords": [{"keyword": "x", "boost": 2}]}},
            ("stt_settings", "keywords"),
            [{"keyword": "x", "intensifier": 2.0}],
        ),
    ],
)
def test_other_names_and_forms_are_turned_into_ours(
    editor: httpx.Client, path: str, sent: dict[str, Any], place: tuple[str, ...], shown: Any
) -> None:
    answer = editor.patch(path, json=sent, headers={"prefer": "handling=strict"})
    value = answer.json()
    for name in place:
        value = value[name]
    assert value == shown


def test_bypass_numbers_are_tidied(editor: httpx.Client, path: str) -> None:
    sent = {"bypass_numbers": ["+1 (415) 555-1234", "+49.30.123456", "+14155551234"]}
    changed = editor.patch(path, json=sent).json()
    assert changed["bypass_numbers"] == ["+14155551234", "+4930123456"]
    refused = errors(editor.patch(path, json={"bypass_numbers": ["+1415", "14155551234", "+0"]}))
    assert [loc for loc, _ in refused] == [["body", "bypass_numbers", n] for n in range(3)]


def test_the_server_says_which_tools_are_enabled(editor: httpx.Client, path: str) -> None:
    sent = {"enabled_tools": ["mine"], "send_sms": {"enabled": True}, "end_call": {"enabled": True}}
    changed = editor.patch(path, json={"tools_settings": sent}).json()
    assert changed["tools_settings"]["enabled_tools"] == ["endCall", "sendSms"]


# -- secrets


_SECRETS = {
    "llm_provider_config": {"api_key": PLAIN, "custom_config": {"auth_token": PLAIN}},
    "api_keys": {"deepgram_api_key": PLAIN},
    "webhook_headers": {"authorization": PLAIN},
    "tts_settings": {"provider_config": {"api_key": PLAIN}},
    "stt_settings": {"provider_config": {"apiKey": PLAIN}},
    "llm_fallback_providers": {
        "fallbacks": [{"provider": "groq", "api_key": PLAIN, "config": {"api_key": PLAIN}}]
    },
    "custom_settings": {"crm": {"password": PLAIN}},
}


def test_a_secret_is_never_shown_again(
    server: Server, organization: Organization, editor: httpx.Client
) -> None:
    created = editor.post(ASSISTANTS, json=_SECRETS | {"name": "Holds secrets"})
    path = f"{ASSISTANTS}/{created.json()['id']}"
    changed = editor.patch(path, json={"llm_provider_config": {"api_key": PLAIN + "2"}})
    shown = [
        created,
        changed,
        editor.get(path),
        editor.get(ASSISTANTS),
        editor.get(f"{path}/settings-history"),
        editor.get(f"{ASSISTANTS}/export?format=json"),
        editor.post(f"{path}/duplicate"),
        editor.post(f"{path}/settings-history/2/rollback"),
    ]
    for answer in shown:
        assert answer.is_success
        assert PLAIN not in answer.text
    assert created.text.count("********") == 9
    rows = stored.rows(server.database, organization.id)
    assert PLAIN not in repr(rows)
    # The control: what is no secret is found in the same places.
    assert "Holds secrets" in created.text
    assert "Holds secrets" in repr(rows)


def test_every_secret_is_kept_in_the_vault(
    server: Server, organization: Organization, editor: httpx.Client
) -> None:
    created = editor.post(ASSISTANTS, json=_SECRETS | {"name": "Keeps"}).json()

    def sealed() -> list[str]:
        rows = stored.rows(server.database, organization.id)["sealed_secrets"]
        return [row["path"] for row in rows if row["assistant_id"] == created["id"]]

    assert len(sealed()) == 9
    path = f"{ASSISTANTS}/{created['id']}"
    editor.patch(path, json={"llm_provider_config": {"api_key": "rotated"}})
    assert len(sealed()) == 10
    assert sealed().count("/llm_provider_config/api_key") == 2


@pytest.mark.parametrize("mask", ["********", "***...***", "*", "..."])
def test_the_mask_sent_back_leaves_a_secret_as_it_is(
    editor: httpx.Client, path: str, mask: str
) -> None:
    before = editor.patch(path, json={"llm_provider_config": {"api_key": PLAIN}}).json()
    assert before["llm_provider_config"]["api_key"] == "********"
    after = editor.patch(path, json={"llm_provider_config": {"api_key": mask}}).json()
    assert after == before


@pytest.mark.parametrize("gone", [None, ""])
def test_null_or_nothing_removes_a_secret(
    editor: httpx.Client, path: str, gone: str | None
) -> None:
    editor.patch(path, json={"api_keys": {"a": PLAIN, "b": PLAIN}})
    editor.patch(path, json={"llm_provider_config": {"api_key": PLAIN}})
    body = {"api_keys": {"a": gone}, "llm_provider_config": {"api_key": gone}}
    changed = editor.patch(path, json=body).json()
    assert changed["api_keys"] == {"b": "********"}
    assert changed["llm_provider_config"]["api_key"] is None


def test_the_same_secret_again_is_no_change_to_a_key_that_may_read_it(
    admin: httpx.Client, editor: httpx.Client, path: str
) -> None:
    body = {"llm_provider_config": {"api_key": PLAIN}}
    before = admin.patch(path, json=body).json()
    assert admin.patch(path, json=body).json() == before
    assert editor.patch(path, json=body).json()["version"] == before["version"] + 1


# -- list, count, export


@pytest.fixture(scope="module")
def several(server: Server) -> Iterator[httpx.Client]:
    """Five assistants: two are inactive, one is a viewer's namesake, one was deleted."""
    with server.client(server.organization().admin) as client:
        for name, description, active in (
            ("Alpha", "First line", True),
            ("Beta", None, False),
            ("Gone", None, True),
            ("=HYPERLINK(1)", "+49 30", True),
            ("Delta 100%", 'Says "hi", twice\nand more', False),
        ):
            body = {"name": name, "description": description, "is_active": active}
            assert client.post(ASSISTANTS, json=body).status_code == 201
        assert client.delete(f"{ASSISTANTS}/3").status_code == 200
        yield client


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return [assistant["name"] for assistant in answer.json()]


def test_a_list_is_a_bare_array_newest_first(several: httpx.Client) -> None:
    answer = several.get(ASSISTANTS)
    assert names(answer) == ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]
    for shown in answer.json():
        assert several.get(f"{ASSISTANTS}/{shown['id']}").json() == shown


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_cover_the_list_exactly_once(several: httpx.Client, limit: int) -> None:
    listed: list[str] = []
    for skip in range(0, 6, limit):
        listed += names(several.get(ASSISTANTS, params={"skip": skip, "limit": limit}))
    assert listed == ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]


def test_a_list_can_show_active_assistants_only(several: httpx.Client) -> None:
    assert names(several.get(ASSISTANTS, params={"active_only": "true"})) == [
        "=HYPERLINK(1)",
        "Alpha",
    ]
    assert len(names(several.get(ASSISTANTS, params={"active_only": "false"}))) == 4
    assert several.get(f"{ASSISTANTS}/count").json() == {"count": 4}
    assert several.get(f"{ASSISTANTS}/count?active_only=true").json() == {"count": 2}


def test_a_list_can_show_the_callers_own_assistants(server: Server) -> None:
    tenant = server.organization()
    with server.client(tenant.admin) as admin, server.client(tenant.editor) as editor:
        admin.post(ASSISTANTS, json={"name": "Admin's"})
        editor.post(ASSISTANTS, json={"name": "Editor's"})
        mine = {"my_assistants_only": "true"}
        assert names(admin.get(ASSISTANTS, params=mine)) == ["Admin's"]
        assert names(editor.get(ASSISTANTS, params=mine)) == ["Editor's"]
        assert names(editor.get(ASSISTANTS)) == ["Editor's", "Admin's"]


def test_statistics_are_named_and_null(several: httpx.Client) -> None:
    for asked in ("true", "false"):
        (first, *_) = several.get(ASSISTANTS, params={"include_stats": asked}).json()
        statistics = [first[n] for n in ("total_calls", "avg_call_duration", "success_rate")]
        assert statistics == [None, None, None]


_COLUMNS = [
    "id", "name", "description", "status", "total_calls", "completed_calls", "success_rate",
    "avg_duration", "performance", "created_at",
]  # fmt: skip


def test_an_export_is_csv_unless_json_is_asked_for(several: httpx.Client) -> None:
    answer = several.get(f"{ASSISTANTS}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] in ("text/csv", "text/csv; charset=utf-8")
    assert answer.headers["content-disposition"] == "attachment; filename=assistants.csv"
    assert answer.text.splitlines()[0] == ",".join(_COLUMNS)
    answer = several.get(f"{ASSISTANTS}/export?format=json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == "attachment; filename=assistants.json"
    assert [list(row) for row in answer.json()] == [_COLUMNS] * 4
    row = answer.json()[-1]
    datetime.strptime(row.pop("created_at"), "%Y-%m-%d %H:%M:%S").astimezone()
    assert row == {
        "id": 1, "name": "Alpha", "description": "First line", "status": "Active",
        "total_calls": 0, "completed_calls": 0, "success_rate": "0%", "avg_duration": "N/A",
        "performance": "0%",
    }  # fmt: skip


def test_a_cell_that_a_spreadsheet_would_run_is_made_text(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        for name in ("=1+1", "+1", "-1", "@SUM(A1)", "1=1"):
            client.post(ASSISTANTS, json={"name": name, "description": f"\t{name}"})
        lines = client.get(f"{ASSISTANTS}/export").text.splitlines()[1:]
        cells = [row[1:3] for row in csv.reader(lines)]
        assert [name for name, _ in cells] == ["1=1", "'@SUM(A1)", "'-1", "'+1", "'=1+1"]
        assert all(description.startswith("'\t") for _, description in cells)
        # In JSON nothing runs, so nothing is changed.
        rows = client.get(f"{ASSISTANTS}/export?format=json").json()
        assert [row["name"] for row in rows] == ["1=1", "@SUM(A1)", "-1", "+1", "=1+1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "active"}, ["=HYPERLINK(1)", "Alpha"]),
        ({"status": "inactive"}, ["Delta 100%", "Beta"]),
        ({"status": "all"}, ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]),
        ({"status": ""}, ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]),
        ({"search": "ALPHA"}, ["Alpha"]),
        ({"search": "first"}, ["Alpha"]),
        ({"search": "%"}, ["Delta 100%"]),
        ({"search": "_"}, []),
        ({"search": "\\"}, []),
        ({"search": "a", "status": "inactive"}, ["Delta 100%", "Beta"]),
        ({"assistant_ids": "1,4"}, ["=HYPERLINK(1)", "Alpha"]),
        ({"assistant_ids": " 2 , 1 ", "status": "active", "search": "x"}, ["Beta", "Alpha"]),
        ({"assistant_ids": "3,99," + "9" * 400}, []),
        ({"assistant_ids": ""}, ["Delta 100%", "=HYPERLINK(1)", "Beta", "Alpha"]),
    ],
)
def test_an_export_holds_what_was_asked_for(
    several: httpx.Client, query: dict[str, str], expected: list[str]
) -> None:
    answer = several.get(f"{ASSISTANTS}/export", params=query | {"format": "json"})
    assert names(answer) == expected


# -- neighbours


def test_cloned_voices_are_an_empty_list(several: httpx.Client) -> None:
    query = {"status": "ready", "provider": "elevenlabs"}
    answer = several.get(f"{ASSISTANTS}/cloned-voices", params=query)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "cloned_voices": []}


def test_providers_are_listed_without_a_key(server: Server) -> None:
    with server.client(None) as nobody:
        answer = nobody.get(f"{ASSISTANTS}/providers")
    assert answer.status_code == 200
    providers = answer.json()["providers"]
    assert {"openai", "azure", "anthropic", "gemini", "groq", "xai", "custom"} <= set(providers)
    for provider in providers.values():
        assert set(provider) == {"name", "models", "default_model"}


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_a_key_knows_its_organization_and_user(
    server: Server, organization: Organization, role: str
) -> None:
    with server.client(getattr(organization, role)) as client:
        answer = client.get(f"{ASSISTANTS}/me/organization")
    assert answer.status_code == 200
    assert set(answer.json()) == {
        "organization_id", "organization_name", "user_id", "user_email", "user_role",
    }  # fmt: skip
    assert answer.json()["organization_id"] == organization.id
    assert answer.json()["user_email"] == f"{role}@example.com"
    assert answer.json()["user_role"] == role


@pytest.mark.parametrize("written", ["+14155551234", "%2B14155551234", "%2b14155551234"])
def test_a_phone_number_keeps_its_plus(editor: httpx.Client, written: str) -> None:
    answer = editor.get(f"{ASSISTANTS}/by-phone/{written}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        "Assistant assigned to phone number +14155551234 not found in your organization"
    )


# -- delete and duplicate


def test_a_deleted_assistant_is_gone_from_everywhere(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        client.post(ASSISTANTS, json={"name": "Front desk"})
        answer = client.delete(f"{ASSISTANTS}/1")
        assert answer.status_code == 200
        assert answer.json() == {
            "success": True, "message": "Assistant Front desk deleted successfully", "data": None,
        }  # fmt: skip
        assert client.get(ASSISTANTS).json() == []
        assert client.get(f"{ASSISTANTS}/count").json() == {"count": 0}
        assert client.get(f"{ASSISTANTS}/export?format=json&assistant_ids=1").json() == []
        for request in (
            client.get(f"{ASSISTANTS}/1"),
            client.patch(f"{ASSISTANTS}/1", json={}),
            client.put(f"{ASSISTANTS}/1", json={"name": "x"}),
            client.patch(f"{ASSISTANTS}/1/status?is_active=true"),
            client.delete(f"{ASSISTANTS}/1"),
            client.post(f"{ASSISTANTS}/1/duplicate"),
            client.get(f"{ASSISTANTS}/1/settings-history"),
            client.get(f"{ASSISTANTS}/1/settings-history/2"),
            client.post(f"{ASSISTANTS}/1/settings-history/2/rollback"),
        ):
            assert request.status_code == 404
            text = "Assistant with ID 1 not found in your organization"
            assert request.json()["detail"] == text


def test_a_duplicate_has_the_settings_and_not_the_secrets(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    editor.patch(path, json=_SECRETS | {"description": "Copied"})
    before = editor.get(path).json()
    answer = editor.post(f"{path}/duplicate")
    copy = answer.json()
    assert answer.status_code == 201
    assert version_of(answer) == 1
    assert copy["version"] == 1
    assert copy["id"] > assistant["id"]
    assert copy["name"] == "Front desk (Copy)"
    assert copy["description"] == "Copied"
    assert "********" not in answer.text
    assert copy["llm_provider_config"]["api_key"] is None
    assert copy["llm_settings"] == before["llm_settings"]
    assert editor.get(path).json() == before
    assert history(editor, f"{ASSISTANTS}/{copy['id']}") == []


def test_a_duplicates_name_is_cut_to_what_a_name_may_hold(editor: httpx.Client) -> None:
    created = editor.post(ASSISTANTS, json={"name": "n" * 100}).json()
    copy = editor.post(f"{ASSISTANTS}/{created['id']}/duplicate").json()
    assert copy["name"] == "n" * 93 + " (Copy)"


# -- refusals


@pytest.mark.parametrize(
    "assistant_id", ["0", "-1", "99999", str(MAX_ID), str(MAX_ID + 1), "9" * 400]
)
def test_an_id_that_nothing_has_is_not_found(editor: httpx.Client, assistant_id: str) -> None:
    answer = editor.get(f"{ASSISTANTS}/{assistant_id}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == (
        f"Assistant with ID {assistant_id} not found in your organization"
    )


def test_an_error_is_an_object_that_describes_itself(editor: httpx.Client) -> None:
    assert editor.get(f"{ASSISTANTS}/99999").json() == {
        "type": "urn:backstory:problem:assistant-not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "Assistant with ID 99999 not found in your organization",
    }


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer no"}, {"authorization": "x"}])
def test_a_request_without_a_good_key_is_unauthorized(
    server: Server, headers: dict[str, str]
) -> None:
    with server.client(None) as nobody:
        answer = nobody.get(ASSISTANTS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"] == (
        "Authentication required. Provide a valid API key or login session."
    )


def test_an_unknown_path_is_not_found(editor: httpx.Client) -> None:
    for unknown in ("/nothing", "/api/nothing", f"{ASSISTANTS}/1/nothing", "/api"):
        answer = editor.get(unknown)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Not Found"


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("DELETE", ASSISTANTS, {"GET", "POST"}),
        ("POST", f"{ASSISTANTS}/1", {"GET", "PUT", "PATCH", "DELETE"}),
        ("GET", f"{ASSISTANTS}/1/status", {"PATCH"}),
        ("GET", f"{ASSISTANTS}/1/duplicate", {"POST"}),
        ("POST", "/health", {"GET"}),
    ],
)
def test_a_wrong_verb_is_not_allowed(
    editor: httpx.Client, verb: str, path: str, allowed: set[str]
) -> None:
    answer = editor.request(verb, path)
    assert answer.status_code == 405
    assert answer.json()["detail"] == "Method Not Allowed"
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS", "HEAD"} == allowed


# -- the service itself


def test_the_service_lives_and_is_ready(server: Server) -> None:
    with server.client(None) as nobody:
        assert nobody.get("/health").json() == {"status": "ok"}
        assert nobody.get("/ready").json() == {"status": "ready"}


def test_the_description_is_a_page_that_loads_nothing(server: Server) -> None:
    with server.client(None) as nobody:
        answer = nobody.get("/schema")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script" not in answer.text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
    assert "Change settings of an assistant" in answer.text
