"""Work on many assistants in a real browser, with its clicks, loads and characters counted."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browsers import visiting
from tests.conftest import ASSISTANTS, Organization, Server


class Operator:
    """Somebody at a page; what they do is counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = self.loads = self.characters = 0
        page.on("load", lambda _: self._loaded())

    def _loaded(self) -> None:
        self.loads += 1

    def click(self, target: Locator, **options: object) -> None:
        self.clicks += 1
        target.click(**options)  # type: ignore[arg-type]  # as playwright takes them

    def button(self, name: str) -> None:
        self.click(self.page.get_by_role("button", name=name))

    def type(self, text: str) -> None:
        self.characters += len(text)
        self.page.keyboard.type(text)


@pytest.fixture
def twelve(editor: httpx.Client) -> list[int]:
    """Twelve assistants, of which some prompts name a product, and others between them."""
    ids = []
    for number in range(24):
        prompt = "Offer Acme." if number % 8 == 0 else "Help."
        body = {"name": f"Desk {number:02}", "llm_settings": {"system_prompt": prompt}}
        made = editor.post(ASSISTANTS, json=body).json()["id"]
        ids += [made] if number % 2 == 0 else []
    return ids


@pytest.fixture
def operator(
    chromium: Browser, server: Server, organization: Organization, twelve: list[int]
) -> Iterator[Operator]:
    """An editor at the list of assistants."""
    with visiting(chromium, server.url, organization.editor) as page:
        page.goto("/assistants?sort=name")
        assert twelve
        yield Operator(page)


def numbers(client: httpx.Client, ids: list[int]) -> set[tuple[str, ...]]:
    found = [client.get(f"{ASSISTANTS}/{one}").json()["tools_settings"] for one in ids]
    return {tuple(one["transfer_call"]["transfer_numbers"]) for one in found}


def test_one_number_for_twelve_assistants_and_back_takes_at_most_16_clicks(
    operator: Operator, editor: httpx.Client, twelve: list[int]
) -> None:
    page = operator.page
    for one in twelve:
        operator.click(page.locator(f'[name=assistant][value="{one}"]'))
    expect(page.locator("[data-select-count]")).to_have_text("12 selected")
    operator.button("Change settings")
    expect(page.locator("#setting")).to_be_focused()
    operator.type("Tools \u203a Transfer call \u203a Transfer numbers")
    page.get_by_role("heading", name="Transfer numbers").wait_for()
    operator.type("+14155550123")
    operator.button("Preview changes")
    page.get_by_role("heading", name="12 assistants will change").wait_for()
    operator.button("Change 12 assistants")
    page.get_by_role("status").get_by_text("12 assistants changed").wait_for()
    assert numbers(editor, twelve) == {("+14155550123",)}
    operator.button("Undo")
    page.get_by_text("Undo of 12 assistants").wait_for()
    assert numbers(editor, twelve) == {()}
    assert operator.clicks == 16


def test_a_range_is_selected_with_shift_and_all_with_one_box(
    operator: Operator,
) -> None:
    page = operator.page
    boxes = page.locator("[name=assistant]")
    operator.click(boxes.nth(2))
    operator.click(boxes.nth(5), modifiers=["Shift"])
    expect(page.locator("[data-select-count]")).to_have_text("4 selected")
    operator.click(page.get_by_label("Select all on this page"))
    expect(page.locator("[data-select-count]")).to_have_text("24 selected")


def test_two_assistants_are_compared_in_three_clicks(operator: Operator, twelve: list[int]) -> None:
    page = operator.page
    for one in twelve[3:5]:
        operator.click(page.locator(f'[name=assistant][value="{one}"]'))
    operator.button("Compare two")
    page.get_by_role("heading", name="settings differ").wait_for()
    expect(page.locator(".two tbody").first).to_contain_text("Offer Acme.")
    assert (operator.clicks, operator.loads) == (3, 1)


def test_prompts_that_name_a_product_are_found_by_keyboard_as_one_types(
    operator: Operator,
) -> None:
    page = operator.page
    page.keyboard.press("/")
    operator.type("acme")
    found = page.locator("[data-search-found]")
    expect(found.get_by_role("link", name="Desk 16")).to_be_visible()
    expect(page.locator("[data-search-status]")).to_have_text("3 results")
    page.keyboard.press("ArrowDown")
    expect(found.get_by_role("link", name="Desk 16")).to_be_focused()
    page.keyboard.press("Escape")
    expect(found).to_be_hidden()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Values 3").wait_for()
    expect(page.get_by_role("button", name="Change settings of 3 assistants")).to_be_visible()
    assert operator.clicks == 0


def test_the_heads_of_a_comparison_stand_above_their_columns(
    operator: Operator, twelve: list[int]
) -> None:
    page = operator.page
    page.goto(f"/assistants/compare?left={twelve[3]}&right={twelve[4]}")
    lefts = "nodes => nodes.map(one => Math.round(one.getBoundingClientRect().left))"
    heads = page.locator(".two thead th").evaluate_all(lefts)[1:]
    for row in page.locator(".two tbody tr:has([data-side])").all():
        columns = row.locator("[data-side]").evaluate_all(lefts)
        assert all(abs(at - head) <= 1 for at, head in zip(columns, heads, strict=True))


def test_buttons_for_a_selection_wait_for_one_that_fits(
    operator: Operator, twelve: list[int]
) -> None:
    page = operator.page
    enabled = []
    for one in twelve[:3]:
        page.locator(f'[name=assistant][value="{one}"]').check()
        names = ("Change settings", "Compare two")
        enabled.append([page.get_by_role("button", name=name).is_enabled() for name in names])
    assert enabled == [[True, False], [True, True], [True, False]]
