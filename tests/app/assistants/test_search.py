"""One search over an organization: what it finds, where it stops, and what it never finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.assistants import searching
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

SEARCH = "/api/v1/search"


@pytest.fixture
def organization(server: Server) -> Organization:
    """A new one for each test: a search finds all that is in it."""
    return server.organization()


@pytest.fixture
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture
def viewer(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.viewer) as client:
        yield client


@pytest.fixture
def three(editor: httpx.Client) -> list[int]:
    """Three assistants, of which two prompts name a product."""
    prompts = ("You answer for Acme Dental.", "Nothing of it.", 'Call\nACME "Zo\u00eb\'s" clients.')
    bodies = [{"name": "Desk", "llm_settings": {"system_prompt": prompt}} for prompt in prompts]
    return [editor.post(ASSISTANTS, json=body).json()["id"] for body in bodies]


def found(client: httpx.Client, q: str, **query: Any) -> dict[str, Any]:
    answer = client.get(SEARCH, params={"q": q} | query)
    assert answer.status_code == 200, answer.text
    held: dict[str, Any] = answer.json()
    return held


def places(answer: dict[str, Any]) -> list[tuple[int, str]]:
    return [(one["assistant_id"], one["path"]) for one in answer["settings"]]


def test_each_prompt_that_names_a_product_is_found_caselessly(
    viewer: httpx.Client, three: list[int]
) -> None:
    answer = found(viewer, "acme")
    prompt = "/llm_settings/system_prompt"
    assert places(answer) == [(three[2], prompt), (three[0], prompt)]
    assert answer["settings"][1]["excerpt"] == "You answer for Acme Dental."
    assert answer["stopped"] == []


@pytest.mark.parametrize("q", ['"zo\u00eb\'s"', "call\nacme", "ZOE\u0308"])
def test_quotes_line_ends_and_composed_letters_are_found(
    viewer: httpx.Client, three: list[int], q: str
) -> None:
    assert places(found(viewer, q))[0][0] == three[2]


def test_names_reasons_people_and_labels_are_found(
    editor: httpx.Client, viewer: httpx.Client, three: list[int]
) -> None:
    at = f"{ASSISTANTS}/{three[0]}"
    body = {"name": "Globex desk", "change_description": "Acme became Globex"}
    editor.patch(at, json=body)
    editor.put(f"{at}/versions/2/label", json={"label": "before globex"})
    answer = found(viewer, "GLOBEX")
    assert [one["id"] for one in answer["assistants"]] == [three[0]]
    (change,) = answer["changes"]
    assert (change["assistant_id"], change["version"]) == (three[0], 2)
    assert [(one["version"], one["label"]) for one in answer["labels"]] == [(2, "before globex")]
    people = found(viewer, "editor k")["people"]
    assert [one["actor"]["name"] for one in people] == ["editor key"]
    assert found(viewer, "globex", kind="labels")["changes"] == []


def test_no_secret_is_ever_found_nor_its_mask(
    editor: httpx.Client, viewer: httpx.Client, three: list[int]
) -> None:
    body = {
        "llm_provider_config": {"api_key": "sk-needle"},
        "webhook_url": "https://me:needle@example.com/needles",
        "idle_message": "Plain needle",
    }
    assert editor.patch(f"{ASSISTANTS}/{three[0]}", json=body).is_success
    answer = found(viewer, "needle")
    # The control: what is shown is found.
    assert {path for _, path in places(answer)} == {"/idle_message", "/webhook_url"}
    assert "me:needle" not in str(answer)
    assert "sk-needle" not in str(answer)
    for hidden in ("sk-needle", "me:needle", "********", "$secret"):
        assert places(found(viewer, hidden)) == []


def test_a_path_restricts_the_settings(viewer: httpx.Client, three: list[int]) -> None:
    assert places(found(viewer, "acme", path="/llm_settings"))
    assert places(found(viewer, "acme", path="/tts_settings")) == []
    assert three


def test_a_search_says_where_it_stopped(
    viewer: httpx.Client, three: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = found(viewer, "acme", limit=1)
    assert (len(answer["settings"]), answer["stopped"]) == (1, ["settings"])
    monkeypatch.setattr(searching, "SECONDS", 0)
    answer = found(viewer, "acme")
    assert places(answer) == [(three[2], "/llm_settings/system_prompt")]
    assert {"settings", "changes"} <= set(answer["stopped"])


def test_another_organization_finds_nothing(server: Server, three: list[int]) -> None:
    with server.client(server.organization().admin) as outsider:
        answer = found(outsider, "acme")
    assert not any(answer[kind] for kind in ("assistants", "settings", "changes", "labels"))
    assert three


@pytest.mark.parametrize(
    "query", [{}, {"q": ""}, {"q": "x" * 201}, {"q": "a\x00"}, {"q": "a", "kind": "secrets"},
              {"q": "a", "path": "no"}, {"q": "a", "limit": 201}]
)  # fmt: skip
def test_a_bad_search_is_refused_at_its_place(viewer: httpx.Client, query: dict[str, Any]) -> None:
    assert viewer.get(SEARCH, params=query).status_code == 422


@pytest.mark.parametrize(
    "q", ["silence timeout", "SILENCE timeout", "idle_timeout", "idle timeout", "/idle_timeout"]
)
def test_a_setting_is_found_by_its_label_and_by_its_path(viewer: httpx.Client, q: str) -> None:
    first, *_ = found(viewer, q)["definitions"]
    assert (first["path"], first["labels"]) == ("/idle_timeout", ["Silence timeout"])


def test_settings_are_found_by_description_last_and_below_a_path_alone(
    viewer: httpx.Client,
) -> None:
    paths = [one["path"] for one in found(viewer, "speed")["definitions"]]
    assert paths[0] == "/tts_settings/speed"
    assert found(viewer, "how fast")["definitions"][0]["path"] == "/tts_settings/speed"
    assert found(viewer, "speed", path="/llm_settings")["definitions"] == []
    assert found(viewer, "speed", kind="labels")["definitions"] == []
    assert found(viewer, "no such setting")["definitions"] == []
