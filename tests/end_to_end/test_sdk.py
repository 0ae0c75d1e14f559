"""The official, unmodified Python SDK against a real server: what its users run keeps working."""

from __future__ import annotations

import asyncio
import csv
import inspect
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from burki import BurkiClient
from burki.exceptions import (
    AuthenticationError,
    BurkiError,
    NotFoundError,
    ValidationError,
)
from burki.models.assistant import (
    Assistant,
    BackgroundSoundSettings,
    FluxConfig,
    InterruptionSettings,
    Keyword,
    LLMFallbackSettings,
    LLMProviderConfig,
    LLMSettings,
    RAGSettings,
    STTSettings,
    ToolsSettings,
    TTSSettings,
)
from burki.models.phone_number import PhoneNumber
from pydantic import BaseModel

from tests.conftest import Organization, Server, make_organizations, serving_process

ORGANIZATIONS = 120
PROMPT = "You answer calls for Acme Dental."
_NUMBERS = "/api/v1/assistants/organization/phone-numbers"
UNKNOWN_KEY = "bks_" + "0" * 36


@pytest.fixture(scope="module")
def sdk_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("sdk") / "backstory.db"
    with serving_process(database, make_organizations(database, ORGANIZATIONS)) as running:
        yield running


@pytest.fixture
def own(sdk_server: Server) -> Organization:
    return sdk_server.organization()


class Sdk:
    """One SDK client, spoken to in one of its two ways: each method has an ``_async`` twin."""

    def __init__(self, client: BurkiClient, runner: asyncio.Runner | None) -> None:
        self.client = client
        self._runner = runner

    def __call__(self, method: str, *arguments: Any, **settings: Any) -> Any:
        return self._call(self.client.assistants, method, arguments, settings)

    def http(self, verb: str, path: str, **settings: Any) -> Any:
        """What the SDK has no method for, through the SDK's own HTTP client."""
        return self._call(self.client._http_client, verb, (path,), settings)  # noqa: SLF001  # as said

    def update(self, assistant_id: int, **settings: Any) -> Assistant:
        """The asynchronous update sends its arguments as they are, so models are dumped first."""
        if self._runner is not None:
            settings = {name: _dumped(value) for name, value in settings.items()}
        updated = self("update", assistant_id, **settings)
        assert isinstance(updated, Assistant)
        return updated

    def _call(self, on: Any, method: str, arguments: tuple[Any, ...], settings: Any) -> Any:
        if self._runner is None:
            return getattr(on, method)(*arguments, **settings)
        answer = getattr(on, f"{method}_async")(*arguments, **settings)
        assert inspect.iscoroutine(answer)
        return self._runner.run(answer)


def _dumped(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


Connect = Callable[[str], Sdk]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, sdk_server: Server) -> Iterator[Connect]:
    """Makes SDK clients for a key; the test runs once with each way of calling."""
    with asyncio.Runner() as runner:
        made: list[BurkiClient] = []

        def client_for(key: str) -> Sdk:
            made.append(BurkiClient(api_key=key, base_url=sdk_server.url))
            return Sdk(made[-1], runner if request.param == "async" else None)

        yield client_for
        for client in made:
            client.close()
            runner.run(client.close_async())


@pytest.fixture
def sdk(connect: Connect, own: Organization) -> Sdk:
    return connect(own.editor)


@pytest.fixture
def assistant(sdk: Sdk) -> Assistant:
    created = sdk(
        "create",
        name="Front desk",
        llm_settings={"system_prompt": PROMPT, "temperature": 0.4},
        tts_settings={"voice_id": "bella", "speed": 0.9, "volume": 1.2},
    )
    assert isinstance(created, Assistant)
    return created


def wire(sdk: Sdk, assistant_id: int) -> dict[str, Any]:
    """An assistant as the server answers it: the SDK's model drops what it does not know."""
    answered = sdk.http("get", f"/api/v1/assistants/{assistant_id}")
    assert isinstance(answered, dict)
    return answered


# -- create and read


def test_the_sdk_reads_back_what_it_created(sdk: Sdk, own: Organization) -> None:
    created = sdk(
        "create",
        name="Front desk",
        description="Answers the main line",
        llm_settings={"system_prompt": PROMPT},
        webhook_url="https://example.com/hook",
        webhook_headers={"Authorization": "Bearer of-theirs"},
        sms_webhook_url="https://example.com/sms",
        messaging_service_sid="MG0123",
        max_call_length=300,
    )
    assert created == sdk("get", created.id)
    assert created.organization_id == own.id
    assert created.llm_settings.system_prompt == PROMPT
    assert created.webhook_headers == {"Authorization": "********"}
    assert created.messaging_service_sid == "MG0123"
    assert created.max_call_length == 300


def test_every_part_of_an_answer_is_one_of_the_sdks_models(assistant: Assistant) -> None:
    assert isinstance(assistant.llm_provider_config, LLMProviderConfig)
    assert isinstance(assistant.llm_settings, LLMSettings)
    assert isinstance(assistant.interruption_settings, InterruptionSettings)
    assert isinstance(assistant.tts_settings, TTSSettings)
    assert isinstance(assistant.tts_settings.background_sound, BackgroundSoundSettings)
    assert isinstance(assistant.stt_settings, STTSettings)
    assert isinstance(assistant.tools_settings, ToolsSettings)
    assert isinstance(assistant.rag_settings, RAGSettings)
    assert isinstance(assistant.llm_fallback_providers, LLMFallbackSettings)
    assert assistant.created_at is not None
    assert assistant.created_at.utcoffset() == timedelta(0)


def test_model_objects_are_created_as_they_were_given(sdk: Sdk) -> None:
    llm = LLMSettings(temperature=0.2, stop_sequences=["STOP"])
    tts = TTSSettings(voice_id="josh", background_sound=BackgroundSoundSettings(enabled=True))
    stt = STTSettings(
        model="flux-general-en",
        keywords=[Keyword(keyword="Invisalign", intensifier=2.0)],
        keyterms=["Northwind"],
        flux_config=FluxConfig(eot_threshold=0.7),
        vad_turnoff=700,
    )
    rag = RAGSettings(enabled=True, search_limit=5)
    created = sdk(
        "create", name="Models", llm_settings=llm, tts_settings=tts, stt_settings=stt,
        rag_settings=rag,
    )  # fmt: skip
    assert created.llm_settings == llm
    assert created.tts_settings == tts
    assert created.stt_settings == stt
    assert created.rag_settings == rag


# -- update


def test_an_update_of_one_nested_member_keeps_the_others(sdk: Sdk, assistant: Assistant) -> None:
    expected = wire(sdk, assistant.id)
    expected["llm_settings"]["temperature"] = 0.9
    updated = sdk.update(assistant.id, llm_settings={"temperature": 0.9})
    assert updated.llm_settings is not None
    assert updated.llm_settings.temperature == 0.9
    assert _settings(wire(sdk, assistant.id)) == _settings(expected)


def test_model_objects_in_an_update_keep_what_the_sdk_does_not_know(
    sdk: Sdk, assistant: Assistant
) -> None:
    before = wire(sdk, assistant.id)
    llm = LLMSettings(temperature=0.1)
    sdk.update(
        assistant.id, llm_settings=llm, tts_settings=TTSSettings(), stt_settings=STTSettings()
    )
    after = wire(sdk, assistant.id)
    assert after["llm_settings"] == llm.model_dump()
    assert after["tts_settings"]["voice_id"] == TTSSettings().voice_id
    assert _unknown_to_the_sdk(after) == _unknown_to_the_sdk(before)
    assert _unknown_to_the_sdk(after)["tts_settings"] == {"speed": 0.9, "volume": 1.2}


def test_control_a_loss_of_what_the_sdk_does_not_know_would_show(
    sdk: Sdk, assistant: Assistant
) -> None:
    before = wire(sdk, assistant.id)
    sdk.http("patch", f"/api/v1/assistants/{assistant.id}", json={"tts_settings": None})
    assert _unknown_to_the_sdk(wire(sdk, assistant.id)) != _unknown_to_the_sdk(before)


def test_sending_back_a_whole_assistant_changes_nothing(sdk: Sdk, assistant: Assistant) -> None:
    before = wire(sdk, assistant.id)
    sdk.update(assistant.id, **assistant.model_dump(mode="json"))
    assert wire(sdk, assistant.id) == before


def test_a_none_given_by_name_clears_a_message(sdk: Sdk, assistant: Assistant) -> None:
    said = sdk("update", assistant.id, end_call_message="Goodbye")
    assert said.end_call_message == "Goodbye"
    cleared = sdk("update", assistant.id, end_call_message=None)
    assert cleared.end_call_message is None


def test_an_update_without_arguments_changes_nothing(sdk: Sdk, assistant: Assistant) -> None:
    before = wire(sdk, assistant.id)
    assert sdk("update", assistant.id) == assistant
    assert wire(sdk, assistant.id) == before


def test_update_status_switches_an_assistant_off_and_on(sdk: Sdk, assistant: Assistant) -> None:
    assert sdk("update_status", assistant.id, is_active=False).is_active is False
    assert sdk("get", assistant.id).is_active is False
    assert sdk("update_status", assistant.id, is_active=True).is_active is True


def test_a_deleted_assistant_is_not_found(sdk: Sdk, assistant: Assistant) -> None:
    assert sdk("delete", assistant.id) is True
    with pytest.raises(NotFoundError):
        sdk("get", assistant.id)
    with pytest.raises(NotFoundError):
        sdk("delete", assistant.id)
    assert sdk("list") == []


# -- history, for which the SDK has no methods


def test_the_history_tells_what_an_update_changed_who_did_it_and_why(
    sdk: Sdk, assistant: Assistant
) -> None:
    sdk("update", assistant.id, llm_settings={"temperature": 0.9}, change_description="Too timid")
    (entry,) = sdk.http("get", f"/api/v1/assistants/{assistant.id}/settings-history")
    assert entry["changes"] == [{"path": "/llm_settings/temperature", "before": 0.4, "after": 0.9}]
    assert entry["changed_fields"] == ["llm_settings"]
    assert entry["changed_by"]["name"] == "editor key"
    assert entry["changed_by"]["email"] == "editor@example.com"
    assert entry["change_description"] == "Too timid"
    assert entry["settings_snapshot"]["llm_settings"]["temperature"] == 0.4


def test_a_rollback_restores_what_an_update_changed(sdk: Sdk, assistant: Assistant) -> None:
    before = wire(sdk, assistant.id)
    sdk("update", assistant.id, name="Reception", llm_settings={"system_prompt": "Be brief."})
    history = f"/api/v1/assistants/{assistant.id}/settings-history"
    (entry,) = sdk.http("get", history)
    answered = sdk.http(
        "post", f"{history}/{entry['version_id']}/rollback", json={"change_description": "Too curt"}
    )
    assert Assistant.model_validate(answered) == sdk("get", assistant.id)
    assert _settings(wire(sdk, assistant.id)) == _settings(before)
    (newest,) = sdk.http("get", history, params={"limit": 1})
    assert newest["change_description"] == "Too curt"


# -- lists


def test_list_gives_the_newest_first_and_pages(sdk: Sdk) -> None:
    made = [sdk("create", name=f"Line {number}").id for number in range(5)]
    assert [one.id for one in sdk("list")] == made[::-1]
    assert [one.id for one in sdk("list", skip=1, limit=2)] == made[::-1][1:3]
    assert sdk("list", skip=5) == []


def test_list_and_count_can_leave_out_the_inactive(sdk: Sdk, assistant: Assistant) -> None:
    asleep = sdk("create", name="Asleep", is_active=False)
    assert [one.id for one in sdk("list", active_only=True)] == [assistant.id]
    assert [one.id for one in sdk("list", active_only=False)] == [asleep.id, assistant.id]
    assert sdk("get_count") == 2
    assert sdk("get_count", active_only=True) == 1


def test_list_can_be_of_ones_own_assistants(
    connect: Connect, sdk: Sdk, own: Organization, assistant: Assistant
) -> None:
    another = connect(own.admin)
    assert [one.id for one in another("list", include_stats=True)] == [assistant.id]
    assert another("list", my_assistants_only=True) == []
    assert [one.id for one in sdk("list", my_assistants_only=True)] == [assistant.id]


def test_an_export_as_json_holds_the_chosen_assistants(sdk: Sdk, assistant: Assistant) -> None:
    other = sdk("create", name="Recall", is_active=False)
    assert {row["id"] for row in sdk("export", format="json")} == {assistant.id, other.id}
    (row,) = sdk("export", format="json", assistant_ids=[assistant.id])
    assert (row["name"], row["status"]) == ("Front desk", "Active")
    assert [row["id"] for row in sdk("export", format="json", search="recall")] == [other.id]
    assert [row["id"] for row in sdk("export", format="json", status="inactive")] == [other.id]


def test_an_export_as_csv_is_a_file_of_the_same_rows(
    sdk_server: Server, own: Organization, sdk: Sdk, assistant: Assistant
) -> None:
    with sdk_server.client(own.editor) as client:
        text = client.get("/api/v1/assistants/export", params={"format": "csv"}).text
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    (same,) = sdk("export", format="json")
    assert row == {name: str(value) for name, value in same.items()}
    assert row["id"] == str(assistant.id)
    # The SDK reads every body as JSON and answers None for the rest; no server can change that.
    assert sdk("export", format="csv") is None


# -- about the caller and the service


def test_get_by_phone_says_that_no_assistant_has_the_number(sdk: Sdk) -> None:
    with pytest.raises(NotFoundError) as refused:
        sdk("get_by_phone", "+14155551234")
    assert refused.value.message == (
        "Assistant assigned to phone number +14155551234 not found in your organization"
    )


def test_get_by_phone_gives_the_assistant_that_answers_the_number(
    sdk: Sdk, assistant: Assistant
) -> None:
    number = {"phone_number": "+14155551234"}
    added = sdk.http("post", _NUMBERS, json=number)
    by_number = f"/api/v1/assistants/{assistant.id}/phone-numbers"
    said = sdk.http("post", f"{by_number}/assign-by-number", json=number)
    assert (said["success"], said["data"]["phone_number_id"]) == (True, added["id"])
    assert sdk("get_by_phone", "+14155551234").id == assistant.id
    (listed,) = sdk.http("get", by_number)
    assert PhoneNumber.model_validate(listed).assistant_name == assistant.name
    assert PhoneNumber.model_validate(listed).phone_number == "+14155551234"
    sdk("delete", assistant.id)
    with pytest.raises(NotFoundError):
        sdk("get_by_phone", "+14155551234")


def test_the_providers_need_no_good_key(connect: Connect) -> None:
    providers = connect(UNKNOWN_KEY)("get_providers")
    assert {"openai", "anthropic"} <= providers.keys()
    assert isinstance(providers["openai"]["models"], list)


def test_the_organization_is_the_keys_own(sdk: Sdk, own: Organization) -> None:
    assert sdk("get_organization_info") == {
        "organization_id": own.id,
        "organization_name": f"Organization {own.id - 1}",
        "user_id": 2,
        "user_email": "editor@example.com",
        "user_role": "editor",
    }


def test_there_are_no_cloned_voices(sdk: Sdk) -> None:
    assert sdk("get_cloned_voices") == []
    assert sdk("get_cloned_voices", status="ready", provider="elevenlabs") == []


# -- errors


def test_an_unknown_key_is_an_authentication_error(connect: Connect) -> None:
    for key in (UNKNOWN_KEY, "junk"):
        with pytest.raises(AuthenticationError) as refused:
            connect(key)("list")
        assert refused.value.status_code == 401


def test_a_missing_assistant_is_a_not_found_error(sdk: Sdk) -> None:
    for call in ("get", "update", "delete"):
        with pytest.raises(NotFoundError) as refused:
            sdk(call, 4711)
        assert refused.value.message == "Assistant with ID 4711 not found in your organization"


def test_another_organizations_assistant_is_as_missing(
    connect: Connect, sdk_server: Server, assistant: Assistant
) -> None:
    outsider = connect(sdk_server.organization().admin)
    with pytest.raises(NotFoundError):
        outsider("get", assistant.id)
    with pytest.raises(NotFoundError):
        outsider("update", assistant.id, name="Mine")


def test_broken_rules_are_a_validation_error_that_names_them_all(
    sdk: Sdk, assistant: Assistant
) -> None:
    before = wire(sdk, assistant.id)
    with pytest.raises(ValidationError) as refused:
        sdk("update", assistant.id, max_call_length=0, stt_settings={"utterance_end_ms": 5})
    assert refused.value.status_code == 422
    assert isinstance(refused.value.response_body, dict)
    places = {tuple(error["loc"]) for error in refused.value.response_body["detail"]}
    assert places == {("body", "max_call_length"), ("body", "stt_settings", "utterance_end_ms")}
    assert wire(sdk, assistant.id) == before


def test_a_role_that_does_not_reach_is_a_burki_error(
    connect: Connect, own: Organization, assistant: Assistant
) -> None:
    viewer = connect(own.viewer)
    with pytest.raises(BurkiError) as refused:
        viewer("update", assistant.id, name="Mine")
    assert refused.value.status_code == 403
    assert type(refused.value) is BurkiError
    assert viewer("get", assistant.id) == assistant


def _settings(answered: dict[str, Any]) -> dict[str, Any]:
    """The answer without what every change moves."""
    return {name: value for name, value in answered.items() if name not in _stamps(answered)}


def _stamps(answered: dict[str, Any]) -> dict[str, Any]:
    return {name: answered[name] for name in ("version", "updated_at")}


def _unknown_to_the_sdk(answered: dict[str, Any]) -> dict[str, Any]:
    """The members that the SDK's models leave out, and so can never send."""
    models: dict[str, type[BaseModel]] = {
        "llm_settings": LLMSettings,
        "tts_settings": TTSSettings,
        "stt_settings": STTSettings,
    }
    return {
        name: {key: v for key, v in answered[name].items() if key not in model.model_fields}
        for name, model in models.items()
    }
