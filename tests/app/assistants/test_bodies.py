"""What a body may hold: unknown members, other names and forms, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.app.assistants.shown import ASSISTANTS, PLAIN, SECRETS, errors

if TYPE_CHECKING:
    from tests.conftest import Organization, Server


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


def test_a_secret_is_never_shown_again(
    server: Server, organization: Organization, editor: httpx.Client
) -> None:
    created = editor.post(ASSISTANTS, json=SECRETS | {"name": "Holds secrets"})
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
    created = editor.post(ASSISTANTS, json=SECRETS | {"name": "Keeps"}).json()

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
