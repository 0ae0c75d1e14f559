from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.app import stored
from tests.app.assistants.answers import errors, ok
from tests.conftest import ASSISTANTS, version_of

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Organization, Server

RESOLVE, CALLS = "/api/v1/resolve", "/api/v1/calls"
HIDDEN = "sk-live-9"
LATER = {"description": "Later"}


def ask(client: httpx.Client, assistant: dict[str, Any], call: str = "c1", **more: Any) -> Any:
    return ok(client.post(RESOLVE, json=asked(assistant, call, **more)))


def asked(assistant: dict[str, Any], call: str = "c1", **more: Any) -> dict[str, Any]:
    return {"call_id": call, "assistant_id": assistant["id"]} | more


def change(editor: httpx.Client, assistant: dict[str, Any], **values: Any) -> None:
    ok(editor.patch(f"{ASSISTANTS}/{assistant['id']}", json=values or LATER))


def settings_in(answer: httpx.Response) -> bytes:
    """The bytes of the settings in an answer."""
    _, _, rest = answer.content.partition(b'"settings":')
    body, _, _ = rest.rpartition(b',"links":')
    return body


def ran(resolved: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ran": {"version": resolved["version"], "digest": resolved["digest"]}} | more


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:backstory:problem:")


def test_a_call_is_told_the_version_in_force_its_settings_and_the_assistants_tag(
    runtime: httpx.Client, assistant: dict[str, Any]
) -> None:
    answer = runtime.post(RESOLVE, json=asked(assistant))
    told, path = ok(answer), f"{ASSISTANTS}/{assistant['id']}"
    now = runtime.get(path)
    assert (told["version"], told["reason"]) == (1, "direct")
    assert settings_in(answer) == now.content
    assert settings_in(answer) == runtime.get(path, params={"version": 1}).content
    assert answer.headers["etag"] == now.headers["etag"]
    assert version_of(answer) == 1
    for name, link in told["links"].items():
        assert runtime.get(link).is_success, name


def test_a_client_can_compute_the_digest_from_the_answer(
    runtime: httpx.Client, editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    change(editor, assistant, custom_settings={"ü": [1, 2.0, 1e-7], "a": {"b": None, "A": "\n"}})
    told = ask(runtime, assistant)
    text = json.dumps(told["settings"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert told["digest"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_a_call_that_asks_again_gets_its_first_version_whatever_changed(
    runtime: httpx.Client, editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    first = runtime.post(RESOLVE, json=asked(assistant))
    change(editor, assistant)
    again = runtime.post(RESOLVE, json=asked(assistant))
    assert settings_in(again) == settings_in(first)
    assert ok(again) == ok(first) | {"reason": "pinned"}
    assert again.headers["etag"] == first.headers["etag"]
    assert ask(runtime, assistant, "c2")["version"] == 2

    ok(editor.delete(f"{ASSISTANTS}/{assistant['id']}"))
    assert ask(runtime, assistant) == ok(first) | {"reason": "pinned"}
    assert problem(runtime.post(RESOLVE, json=asked(assistant, "c3"))) == (
        404,
        "assistant-not-found",
    )


def test_a_call_runs_one_assistant(
    runtime: httpx.Client, editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    other = editor.post(ASSISTANTS, json={"name": "Other"}).json()
    ask(runtime, assistant)
    refused = runtime.post(RESOLVE, json=asked(other))
    assert problem(refused) == (409, "call-has-another")
    assert refused.json()["assistant_id"] == assistant["id"]
    assert ok(runtime.get(f"{CALLS}/c1"))["assistant_id"] == assistant["id"]


def test_the_settings_of_a_call_are_what_it_ran(
    runtime: httpx.Client, editor: httpx.Client, viewer: httpx.Client, assistant: dict[str, Any]
) -> None:
    first = runtime.post(RESOLVE, json=asked(assistant))
    change(editor, assistant)
    shown = viewer.get(f"{CALLS}/c1/settings")
    assert shown.content == settings_in(first)
    assert viewer.get(shown.headers["link"][1:].partition(">")[0]).json()["version"] == 1
    held = {"if-none-match": shown.headers["etag"]}
    assert viewer.get(f"{CALLS}/c1/settings", headers=held).status_code == 304


def test_a_receipt_says_what_ran_and_never_the_number_that_called(
    server: Server,
    organization: Organization,
    runtime: httpx.Client,
    viewer: httpx.Client,
    assistant: dict[str, Any],
) -> None:
    told = ask(runtime, assistant, caller="+15550100")
    ask(runtime, assistant, "c2", caller="+15550100")
    ask(runtime, assistant, "c3")
    receipt = ok(viewer.get(f"{CALLS}/c1"))
    same = ("call_id", "receipt_id", "assistant_id", "version", "digest", "reason", "resolved_at")
    assert {name: receipt[name] for name in same} == {name: told[name] for name in same}
    assert receipt["caller_hash"] == ok(viewer.get(f"{CALLS}/c2"))["caller_hash"]
    assert ok(viewer.get(f"{CALLS}/c3"))["caller_hash"] is None
    assert b"5550100" not in repr(stored.rows(server.database, organization.id)).encode()


@pytest.mark.parametrize("call", ["c9", "a b", "..%2e", "x" * 201, "%00"])
@pytest.mark.parametrize("place", ["", "/settings"])
def test_a_call_without_a_receipt_is_not_found(viewer: httpx.Client, call: str, place: str) -> None:
    assert viewer.get(f"{CALLS}/{call}{place}").status_code == 404


def test_only_a_key_with_the_scope_resolves(
    editor: httpx.Client, viewer: httpx.Client, assistant: dict[str, Any]
) -> None:
    for client in (editor, viewer):
        answer = client.post(RESOLVE, json=asked(assistant))
        assert problem(answer) == (403, "scope-missing")


class TestOffline:
    """Calls that a runtime answered from what it had, and reports later."""

    def test_is_recorded_as_the_version_that_it_ran_at_its_time(
        self, runtime: httpx.Client, editor: httpx.Client, assistant: dict[str, Any]
    ) -> None:
        had = ask(runtime, assistant)
        change(editor, assistant)
        at = "2026-01-02T03:04:05Z"
        report = asked(assistant, "off", **ran(had, at=at))
        told = ok(runtime.post(RESOLVE, json=report))
        assert (told["version"], told["reason"], told["resolved_at"]) == (1, "offline", at)
        assert told["settings"] == had["settings"]
        assert ok(runtime.post(RESOLVE, json=report)) == told | {"reason": "pinned"}
        assert ok(runtime.get(f"{CALLS}/off"))["reason"] == "offline"

    def test_is_refused_where_the_version_is_another(
        self, runtime: httpx.Client, editor: httpx.Client, assistant: dict[str, Any]
    ) -> None:
        had = ask(runtime, assistant)
        change(editor, assistant)
        wrong = ran(had | {"version": 2})
        refused = runtime.post(RESOLVE, json=asked(assistant, "off", **wrong))
        assert problem(refused) == (409, "digest-differs")
        assert refused.json()["version"] == 2
        assert refused.json()["digest"] == ask(runtime, assistant, "now")["digest"]
        missing = runtime.post(RESOLVE, json=asked(assistant, "off", **ran(had | {"version": 9})))
        assert problem(missing) == (404, "version-not-found")
        another = runtime.post(RESOLVE, json=asked(assistant, **wrong))
        assert problem(another) == (409, "call-has-another")
        assert runtime.get(f"{CALLS}/off").status_code == 404

    def test_is_accepted_after_the_secrets_were_erased(
        self, runtime: httpx.Client, admin: httpx.Client
    ) -> None:
        body = {"name": "Sealed", "llm_provider_config": {"api_key": HIDDEN}}
        assistant = admin.post(ASSISTANTS, json=body).json()
        had = ask(runtime, assistant)
        ok(admin.delete(f"{ASSISTANTS}/{assistant['id']}/secrets"))
        told = ask(runtime, assistant, "off", **ran(had))
        assert told["settings"]["llm_provider_config"]["api_key"] == "erased"

    def test_needs_a_moment_in_the_past(
        self, runtime: httpx.Client, assistant: dict[str, Any]
    ) -> None:
        had = ask(runtime, assistant)
        future = asked(assistant, "off", **ran(had, at="2999-01-01T00:00:00Z"))
        assert problem(runtime.post(RESOLVE, json=future)) == (422, "in-future")
        alone = runtime.post(RESOLVE, json=asked(assistant, "off", at="2026-01-02T03:04:05Z"))
        assert errors(alone)


class TestSecrets:
    @pytest.fixture
    def sealed(self, admin: httpx.Client) -> dict[str, Any]:
        custom = {"tools": [{"url": "https://u:hunter22@example.com/x"}]}
        body = {
            "name": "Sealed",
            "llm_provider_config": {"api_key": HIDDEN},
            "custom_settings": custom,
        }
        made: dict[str, Any] = admin.post(ASSISTANTS, json=body).json()
        return made

    def test_are_masked_unless_asked_for(
        self, runtime: httpx.Client, sealed: dict[str, Any]
    ) -> None:
        masked = ask(runtime, sealed)
        plain = ask(runtime, sealed, secrets=True)
        assert HIDDEN not in json.dumps(masked)
        assert plain["settings"]["llm_provider_config"]["api_key"] == HIDDEN
        tool = plain["settings"]["custom_settings"]["tools"][0]
        assert tool["url"] == "https://u:hunter22@example.com/x"
        assert plain["digest"] == masked["digest"]

    def test_each_reading_is_an_event(
        self, runtime: httpx.Client, admin: httpx.Client, sealed: dict[str, Any]
    ) -> None:
        ask(runtime, sealed, secrets=True)
        ask(runtime, sealed, secrets=True)
        ask(runtime, sealed)
        log = ok(admin.get("/api/v1/audit/logs", params={"limit": 100}))
        assert json.dumps(log).count('"/llm_provider_config/api_key"') == 2 + 1  # and its creation

    def test_of_an_older_version_are_those_of_the_call(
        self, runtime: httpx.Client, editor: httpx.Client, sealed: dict[str, Any]
    ) -> None:
        ask(runtime, sealed)
        change(editor, sealed, llm_provider_config={"api_key": "sk-newer-1"})
        again = ask(runtime, sealed, secrets=True)
        assert again["settings"]["llm_provider_config"]["api_key"] == HIDDEN

    def test_that_were_erased_stay_erased(
        self, runtime: httpx.Client, admin: httpx.Client, sealed: dict[str, Any]
    ) -> None:
        ask(runtime, sealed)
        ok(admin.delete(f"{ASSISTANTS}/{sealed['id']}/secrets"))
        again = ask(runtime, sealed, secrets=True)
        assert again["settings"]["llm_provider_config"]["api_key"] == "erased"

    def test_need_the_scope(self, admin: httpx.Client, server: Server) -> None:
        key = {"name": "runtime", "role": "viewer", "scopes": ["calls:resolve"]}
        token = admin.post("/api/v1/users/me/api-keys", json=key).json()["key"]
        made = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
        with server.client(token) as client:
            assert ask(client, made)["version"] == 1
            refused = client.post(RESOLVE, json=asked(made, "c2", secrets=True))
            assert problem(refused) == (403, "scope-missing")


@pytest.mark.parametrize(
    "body",
    [
        {"call_id": "c1"},
        {"assistant_id": 1},
        {"call_id": "a/b", "assistant_id": 1},
        {"call_id": "..", "assistant_id": 1},
        {"call_id": "c" * 201, "assistant_id": 1},
        {"call_id": "c1", "assistant_id": 0},
        {"call_id": "c1", "assistant_id": 2**31},
        {"call_id": "c1", "assistant_id": 1, "ran": {"version": 1, "digest": "5d"}},
        {"call_id": "c1", "assistant_id": 1, "at": "yesterday"},
        {"call_id": "c1", "assistant_id": 1, "caller": ""},
        {"call_id": "c1", "assistant_id": 1, "phone": "1"},
    ],
    ids=str,
)
def test_a_body_that_breaks_a_rule_is_refused(runtime: httpx.Client, body: dict[str, Any]) -> None:
    assert errors(runtime.post(RESOLVE, json=body))


# -- by the number that was called

NUMBER = "+14155551234"
NUMBERS = f"{ASSISTANTS}/organization/phone-numbers"


def answers(editor: httpx.Client, assistant: dict[str, Any], verb: str = "assign") -> None:
    path = f"{ASSISTANTS}/{assistant['id']}/phone-numbers/{verb}-by-number"
    assert ok(editor.post(path, json={"phone_number": NUMBER}))["success"]


@pytest.fixture
def called(editor: httpx.Client, assistant: dict[str, Any]) -> dict[str, Any]:
    """An assistant that answers the number."""
    assert editor.post(NUMBERS, json={"phone_number": NUMBER}).is_success
    answers(editor, assistant)
    return assistant


def by_number(runtime: httpx.Client, call: str = "c1", **more: Any) -> httpx.Response:
    return runtime.post(RESOLVE, json={"call_id": call, "phone_number": NUMBER} | more)


def test_a_number_leads_to_the_assistant_that_answers_it(
    runtime: httpx.Client, called: dict[str, Any]
) -> None:
    told = ok(by_number(runtime))
    assert (told["assistant_id"], told["reason"]) == (called["id"], "phone_number")
    assert ok(runtime.get(f"{CALLS}/c1"))["reason"] == "phone_number"


def test_a_call_keeps_its_assistant_when_another_answers_the_number(
    runtime: httpx.Client, editor: httpx.Client, called: dict[str, Any]
) -> None:
    first = ok(by_number(runtime))
    answers(editor, called, "unassign")
    assert problem(by_number(runtime, "c2"))[0] == 404
    other = editor.post(ASSISTANTS, json={"name": "Night desk"}).json()
    answers(editor, other)
    assert ok(by_number(runtime, "c2"))["assistant_id"] == other["id"]
    again = ok(by_number(runtime))
    assert (again["assistant_id"], again["reason"]) == (called["id"], "pinned")
    assert again["receipt_id"] == first["receipt_id"]


def test_a_report_is_of_the_assistant_that_answered_the_number_then(
    runtime: httpx.Client, editor: httpx.Client, called: dict[str, Any]
) -> None:
    told = ok(by_number(runtime))
    other = editor.post(ASSISTANTS, json={"name": "Night desk"}).json()
    answers(editor, called, "unassign")
    answers(editor, other)
    reported = ok(by_number(runtime, "c2", at=told["resolved_at"], **ran(told)))
    assert (reported["assistant_id"], reported["reason"]) == (called["id"], "offline")


def test_a_call_is_of_an_assistant_or_of_a_number(
    runtime: httpx.Client, called: dict[str, Any]
) -> None:
    for body in ({"call_id": "c1"}, asked(called, phone_number=NUMBER)):
        answer = runtime.post(RESOLVE, json=body)
        assert answer.status_code == 422
        assert "assistant_id" in answer.text
    assert problem(runtime.get(f"{CALLS}/c1"))[0] == 404
