"""The search of the console, without script."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import ASSISTANTS
from tests.console import Browser, change, field, plain
from tests.html_rules import faults


@pytest.fixture
def prompts(editor: httpx.Client) -> list[int]:
    """Fifteen assistants, twelve of whose prompts name a product."""
    return [
        editor.post(
            ASSISTANTS,
            json={
                "name": f"Desk {number}",
                "llm_settings": {"system_prompt": "Ask for Acme." if number < 12 else "Ask."},
            },
        ).json()["id"]
        for number in range(15)
    ]


def test_every_assistant_whose_prompt_names_a_product_is_found(
    operator: Browser, prompts: list[int]
) -> None:
    first = operator.get("/search?q=acme")
    assert "Values 10+" in plain(first)
    assert "/search?q=acme&amp;kind=settings" in first.text
    page = operator.get("/search?q=acme&kind=settings")
    assert "Values 12" in plain(page)
    assert field(page.text, "assistants").split() == [str(one) for one in reversed(prompts[:12])]
    assert faults(page.text) == []


def test_reasons_lead_to_their_change(at: str, editor: httpx.Client, reader: Browser) -> None:
    change(editor, at, {"idle_timeout": 9}, "Globex merger")
    page = reader.get("/search?q=globex")
    assert f'href="{at}/versions/2"' in page.text
    assert "/assistants/change" not in page.text, "a viewer changes nothing"


def test_nothing_found_and_nothing_asked_say_so(reader: Browser) -> None:
    assert "Nothing matches" in plain(reader.get("/search?q=no-such-text"))
    assert "Type a part of a name" in plain(reader.get("/search"))
    assert reader.get("/search?q=a&kind=secrets").status_code == 422


def test_a_setting_leads_to_itself_on_any_assistant_and_into_a_change_of_many(
    at: str, operator: Browser
) -> None:
    found = operator.get("/search?q=silence+timeout")
    address = "/assistants?sort=name&amp;setting=/idle_timeout"
    assert f'href="{address}"' in found.text
    listed = operator.get(address.replace("&amp;", "&"))
    assert "Choose an assistant to see its setting Silence timeout" in plain(listed)
    assert f'href="{at}?q=/idle_timeout"' in listed.text
    assert field(listed.text, "setting") == "/idle_timeout", "what a change of many starts with"
    assert faults(listed.text) == faults(found.text) == []
    assert "Choose an assistant" not in plain(operator.get("/assistants?setting=/unknown"))
