from __future__ import annotations

import html
import re

import httpx
import pytest

from app.console import fields, formatting
from tests.console import Browser, change, plain

_SHOWN = re.compile(r'<output id="f([^"]*)" class="text">(.*?)</output>', re.DOTALL)
_DIFFERS = re.compile(r'data-differs="([^"]*)"')


@pytest.fixture(autouse=True)
def past(at: str, editor: httpx.Client, admin: httpx.Client) -> None:
    """Two people change the assistant, version by version, to version 5."""
    change(editor, at, {"llm_settings": {"temperature": 0.2}}, "Calmer")
    change(admin, at, {"custom_settings": {"greeting": "<b>Hello</b>"}}, "Greeting")
    change(editor, at, {"llm_provider_config": {"api_key": "sk-1"}}, "Key")
    change(editor, at, {"llm_provider_config": {"api_key": "sk-2"}}, "Other key")


def shown(answer: httpx.Response) -> dict[str, str]:
    """Each setting of a page, by its id, in words."""
    assert answer.status_code == 200
    return {name: html.unescape(text) for name, text in _SHOWN.findall(answer.text)}


def version_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200
    (number,) = re.findall(r"<h2>Version (\d+)", answer.text)
    return str(number)


@pytest.mark.parametrize("version", range(1, 6))
def test_every_setting_is_shown_as_it_was_at_each_version_and_none_can_be_changed(
    operator: Browser, viewer: httpx.Client, at: str, version: int
) -> None:
    answer = operator.get(f"{at}/life", params={"version": version})
    then = viewer.get(f"/api/v1{at}", params={"version": version}).json()
    assert shown(answer) == {f.id[1:]: formatting.plain(f.value) for f in fields.all_fields(then)}
    assert 'name="/' not in answer.text
    assert f'min="1" max="5" value="{version}"' in answer.text
    assert "sk-" not in answer.text


@pytest.mark.parametrize("version", range(1, 6))
def test_settings_that_differ_from_the_current_version_are_marked_and_no_others(
    operator: Browser, at: str, version: int
) -> None:
    expected = {
        1: {"/llm_settings/temperature", "/custom_settings", "/llm_provider_config/api_key"},
        2: {"/custom_settings", "/llm_provider_config/api_key"},
        3: {"/llm_provider_config/api_key"},
        4: {"/llm_provider_config/api_key"},
        5: set(),
    }[version]
    answer = operator.get(f"{at}/life", params={"version": version})
    assert set(_DIFFERS.findall(answer.text)) == expected
    assert ("No setting differs from the current version" in answer.text) == (not expected)
    said = {2: "2 settings differ", 3: "1 setting differs"}
    assert said.get(version, "") in answer.text
    # A secret that was rotated is as hidden as before, but another one.
    assert ("another value (hidden)" in answer.text) == (version == 4)


def test_the_current_value_is_shown_beside_the_old_one(operator: Browser, at: str) -> None:
    answer = operator.get(f"{at}/life", params={"version": 1})
    assert "&lt;b&gt;Hello&lt;/b&gt;" in answer.text
    assert "<b>Hello" not in answer.text
    (beside,) = re.findall(r'differs="/llm_settings/temperature">(.*?)</p>', answer.text, re.DOTALL)
    assert "Current" in beside
    assert ">0.2<" in beside


def test_a_version_is_shown_with_its_author_time_reason_and_neighbours(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    answer = operator.get(f"{at}/life", params={"version": 3})
    entry = viewer.get(f"/api/v1{at}/versions/3").json()
    for said in (
        f'datetime="{entry["created_at"][:19]}', "<bdi>admin key</bdi>", "<bdi>Greeting</bdi>",
        f'href="{at}/life?version=2"', f'href="{at}/life?version=4"',
        f'href="{at}/compare?from=3&amp;to=5"', f'href="{at}/versions/3"',
    ):  # fmt: skip
        assert said in answer.text
    assert "version=0" not in operator.get(f"{at}/life", params={"version": 1}).text
    assert "version=6" not in operator.get(f"{at}/life").text


def test_the_page_begins_with_the_current_version(operator: Browser, at: str) -> None:
    assert version_of(operator.get(f"{at}/life")) == "5"
    assert f'href="{at}/life" data-key="t" aria-current="page"' in operator.get(f"{at}/life").text


def test_a_moment_selects_the_version_of_that_time(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    for version in (1, 3, 5):
        moment = viewer.get(f"/api/v1{at}/versions/{version}").json()["created_at"]
        assert version_of(operator.get(f"{at}/life", params={"as_of": moment})) == str(version)
        both = {"version": "2", "as_of": moment}  # the moment goes before
        assert version_of(operator.get(f"{at}/life", params=both)) == str(version)
    later = operator.get(f"{at}/life", params={"as_of": "2999-01-01T00:00"})  # as a browser sends
    assert version_of(later) == "5"
    early = operator.get(f"{at}/life", params={"as_of": "2020-01-01T00:00"})
    assert version_of(early) == "1"
    assert "did not exist on 2020-01-01T00:00" in early.text
    refused = operator.get(f"{at}/life", params={"as_of": "yesterday"})
    assert version_of(refused) == "5"
    assert "yesterday is not a date such as" in refused.text


def test_a_date_alone_shows_the_end_of_that_day_in_the_zone_of_the_reader(
    operator: Browser, viewer: httpx.Client, at: str
) -> None:
    last = viewer.get(f"/api/v1{at}/versions/5").json()["created_at"]
    answer = operator.get(f"{at}/life", params={"as_of": last[:10]})
    assert version_of(answer) == "5"
    assert f"At the end of {last[:10]} (UTC). Changed" in plain(answer)
    before = operator.get(
        f"{at}/life", params={"as_of": "2020-02-29", "zone": "Pacific/Kiritimati"}
    )
    assert version_of(before) == "1"
    ahead = operator.get(f"{at}/life", params={"as_of": "2999-01-01", "zone": "Pacific/Kiritimati"})
    assert "(Pacific/Kiritimati)" in ahead.text


def test_what_differs_stands_before_all_settings(operator: Browser, at: str) -> None:
    text = operator.get(f"{at}/life", params={"version": 1}).text
    assert text.index("3 settings differ") < text.index("All settings of this version")
    first, _, rest = text.partition("All settings of this version")
    assert "Temperature" in first
    assert "<ins>0.2</ins>" in first
    assert rest.count("<details") > 5
    assert "data-side" not in operator.get(f"{at}/life").text  # the control


@pytest.mark.parametrize(("name", "version"), [("-1", 4), ("latest", 5), ("label:calm", 2)])
def test_a_version_can_be_given_by_name(
    operator: Browser, editor: httpx.Client, at: str, name: str, version: int
) -> None:
    assert editor.put(f"/api/v1{at}/versions/2/label", json={"label": "calm"}).is_success
    answer = operator.get(f"{at}/life", params={"version": name})
    assert version_of(answer) == str(version)
    assert ('class="chip"><bdi>calm</bdi>' in answer.text) == (version == 2)


@pytest.mark.parametrize("version", ["0", "99", "x", "1/2", "label:none"])
def test_an_invalid_version_shows_an_error_page(operator: Browser, at: str, version: str) -> None:
    answer = operator.get(f"{at}/life", params={"version": version})
    assert answer.status_code in (404, 422)
    assert "<h1>" in answer.text


def test_only_editors_are_offered_a_rollback(reader: Browser, operator: Browser, at: str) -> None:
    link = f'href="{at}/rollback/2"'
    assert link in operator.get(f"{at}/life", params={"version": 2}).text
    assert link not in reader.get(f"{at}/life", params={"version": 2}).text
    assert "/rollback/" not in operator.get(f"{at}/life").text  # there is nowhere to go


def test_a_version_of_a_deletion_can_be_viewed_but_not_rolled_back_to(
    operator: Browser, admin: httpx.Client, at: str
) -> None:
    assert admin.delete(f"/api/v1{at}").is_success
    assert operator.get(f"{at}/life").status_code == 404
    assert admin.post(f"/api/v1{at}/restore").is_success
    answer = operator.get(f"{at}/life", params={"version": 6})
    assert version_of(answer) == "6"
    assert ", deleted" in answer.text
    assert f"{at}/rollback/6" not in answer.text
    assert shown(answer)["-llm_settings-temperature"] == "0.2"
