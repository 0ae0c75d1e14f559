from __future__ import annotations

import html
import re

import httpx
import pytest

from app import pages
from app.console.sparkline import draw
from tests.conftest import ASSISTANTS
from tests.console import Browser, field

_ROW = re.compile(r'<th scope="row"><a href="/assistants/(\d+)"><bdi>([^<]*)</bdi></a>')


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    return [html.unescape(name) for _, name in _ROW.findall(answer.text)]


def test_the_list_shows_each_last_change_with_its_author_time_and_reason(
    editor: httpx.Client, reader: Browser
) -> None:
    made = editor.post(ASSISTANTS, json={"name": "Front desk"}).json()
    changed = editor.patch(
        f"{ASSISTANTS}/{made['id']}",
        json={"llm_settings": {"temperature": 0.2}, "change_description": "Answers wander"},
    ).json()
    text = reader.get("/assistants").text
    for said in ("editor key", "Answers wander", "Model › Temperature"):  # noqa: RUF001
        assert said in text
    assert f'<time datetime="{changed["updated_at"][:19]}' in text
    assert re.search(r'role="img"\s+aria-label="2 changes, most on \d{4}-\d\d-\d\d: 2"', text)


def test_the_list_is_searched_filtered_sorted_and_paged(
    editor: httpx.Client, reader: Browser
) -> None:
    for number in range(52):
        body = {"name": f"Desk {number:02}", "is_active": number != 7}
        assert editor.post(ASSISTANTS, json=body).is_success
    first = reader.get("/assistants", params={"sort": "name"})
    assert names(first) == [f"Desk {number:02}" for number in range(50)]
    (link,) = re.findall(r'href="([^"]+)" rel="next">', first.text)
    second = reader.get(html.unescape(link))
    assert names(second) == ["Desk 50", "Desk 51"]
    assert 'rel="prev"' in second.text
    assert "51 to 52 of 52 assistants" in second.text
    assert names(reader.get("/assistants", params={"status": "inactive"})) == ["Desk 07"]
    assert names(reader.get("/assistants", params={"search": "sk 11"})) == ["Desk 11"]
    assert "No assistant matches" in reader.get("/assistants", params={"search": "none"}).text


def test_pages_that_bytes_end_lead_to_the_rest(
    editor: httpx.Client, reader: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        assert editor.post(ASSISTANTS, json={"name": f"Desk {number}"}).is_success
    one = f"/assistants/{editor.get(ASSISTANTS).json()[0]['id']}"
    whole, blamed = (
        names(reader.get("/assistants?sort=name")),
        reader.get(one).text.count("version 1"),
    )
    monkeypatch.setattr(pages, "MOST_BYTES", 900)
    listed: list[str] = []
    links = ["/assistants?sort=name"]
    while links:
        page = reader.get(html.unescape(links[0]))
        listed += names(page)
        links = re.findall(r'href="([^"]+)" rel="next">', page.text)
        assert len(names(page)) < len(whole)
    assert listed == whole
    assert reader.get(one).text.count("version 1") == blamed


@pytest.mark.parametrize(
    "query", [{"skip": "-1"}, {"skip": "x"}, {"sort": "size"}, {"search": "x" * 201}]
)
def test_an_invalid_query_of_the_list_shows_an_error(
    reader: Browser, query: dict[str, str]
) -> None:
    answer = reader.get("/assistants", params=query)
    assert answer.status_code == 422
    assert re.search(r"class=\"message bad\">\w+: \w+ should ", answer.text)


def test_a_double_click_creates_one_assistant(operator: Browser) -> None:
    form = operator.get("/assistants/new").text
    fields = {
        "name": "Recall", "description": "", "once": field(form, "once"),
        "form_token": field(form, "form_token"),
    }  # fmt: skip
    answers = [operator.post("/assistants/new", fields) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert names(operator.get("/assistants")) == ["Recall"]


def test_a_name_that_is_too_long_shows_an_error_and_keeps_the_form(operator: Browser) -> None:
    answer = operator.submit("/assistants/new", {"name": "x" * 101, "description": "Kept"})
    assert answer.status_code == 422
    assert 'role="alert">Name: ' in answer.text
    assert field(answer.text, "description") == "Kept"


def test_a_viewer_is_offered_no_new_assistant_and_cannot_create_one(
    reader: Browser, operator: Browser
) -> None:
    assert "/assistants/new" not in reader.get("/assistants").text
    assert reader.get("/assistants/new").status_code == 403
    assert reader.submit("/assistants/new", {"name": "Mine"}).status_code == 403
    # The control: an editor sees it, and may.
    assert "/assistants/new" in operator.get("/assistants").text
    assert names(operator.get("/assistants")) == []
    assert operator.submit("/assistants/new", {"name": "Mine"}).status_code == 303


def test_a_deleted_assistant_is_listed_as_deleted_and_can_be_restored(
    operator: Browser, reader: Browser, editor: httpx.Client, admin: httpx.Client
) -> None:
    made = editor.post(ASSISTANTS, json={"name": "Front desk"}).json()
    at = f"/assistants/{made['id']}"
    gone = {"change_description": "Moved", "etag": '"1"'}
    assert operator.submit(f"{at}/delete", gone).status_code == 303
    assert "Front desk" not in operator.get("/assistants").text
    deleted = operator.get("/assistants", params={"status": "deleted"}).text
    for said in ("Front desk", "editor key", "Moved", f'action="{at}/restore"'):
        assert said in deleted
    assert "/restore" not in reader.get("/assistants", params={"status": "deleted"}).text
    assert reader.submit(f"{at}/restore", {}).status_code == 403
    back = operator.submit(f"{at}/restore", {"change_description": "Not moved"})
    assert (back.status_code, back.headers["location"]) == (303, at)
    assert operator.get(at).status_code == 200
    (last, *_) = admin.get("/api/v1/audit/logs", params={"resource_type": "assistant"}).json()[
        "logs"
    ]
    assert (last["action"], last["details"]["reason"]) == ("restore", "Not moved")


def test_markup_in_a_name_is_shown_as_text_in_the_list(
    editor: httpx.Client, reader: Browser
) -> None:
    script = "<script>alert(1)</script>"
    editor.post(ASSISTANTS, json={"name": script, "description": f'"{script}'})
    answer = reader.get("/assistants")
    assert names(answer) == [script]
    assert script not in answer.text


def test_a_sparkline_is_drawn_to_scale_and_described_in_words() -> None:
    days = [{"day": "2026-03-01", "changes": 4}, {"day": "2026-03-03", "changes": 1}]
    line = draw("2026-02-28", "2026-03-04", days)
    assert line.width == 10
    assert [(bar.x, bar.height) for bar in line.bars] == [(2, 24), (6, 12)]
    assert all(bar.y + bar.height == 24 for bar in line.bars)
    assert line.words == "5 changes, most on 2026-03-01: 4"
    assert draw("2026-02-28", "2026-03-04", []).words == "No changes"
