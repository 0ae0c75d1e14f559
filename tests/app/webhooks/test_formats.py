"""Chats get a text to read: who, what, where, why, and a link; authors cannot mention or link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.assistants import changes
from events.bodies.patch import SettingsPatch
from events.changed import VersionLabelled
from tests.app.webhooks.receivers import receiving
from tests.app.webhooks.stories import CALLER, told

if TYPE_CHECKING:
    from pathlib import Path

    from app.transactions.unit_of_work import UnitOfWork
    from app.webhooks.messages import Format
    from tests.app.webhooks.stories import Story

_LINK = "https://backstory.example/assistants/1/history"
_REASON = "<!channel> *calmer* [here](http://x) \u202e"


def label(unit: UnitOfWork) -> None:
    """An event with a reason that an author chose."""
    changes.create(unit, CALLER, SettingsPatch(tree={"name": "x"}))
    unit.flush()
    envelope: dict[str, Any] = {"labelled_version": 1, "label": "x"}
    unit.record(CALLER, VersionLabelled, _REASON, **envelope | {"assistant_id": 1})


def told_to(database: Path, kind: Format) -> Any:
    bodies: list[Any] = []

    async def story(we: Story) -> None:
        async with receiving() as receiver:
            await we.endpoint(receiver.url(), format=kind, event_types=["version_labelled"])
            one = await we.endpoint(receiver.url(), format=kind, enabled=False)
            await we.write(label)
            await we.ask(one, None)
            await we.deliver()
            assert {got.headers["content-type"] for got in receiver.got} == {"application/json"}
            bodies.extend(got.event for got in receiver.got)

    told(database, story)
    return sorted(bodies, key=lambda body: "This is a test" in str(body))


def test_slack_gets_a_text_in_which_the_author_mentions_nobody(database: Path) -> None:
    event, test = told_to(database, "slack")
    assert event == {
        "text": "tests labelled a version of assistant 1 (version 1) \N{EM DASH} &lt;!channel&gt;"
        f" *calmer* [here](http://x) \\u202e <{_LINK}|Open in Backstory>"
    }
    assert "This is a test" in test["text"]


def test_teams_gets_a_card_without_the_authors_markup(database: Path) -> None:
    event, _ = told_to(database, "teams")
    (attachment,) = event["attachments"]
    (text,) = attachment["content"]["body"]
    assert r"\<\!channel\> \*calmer\* \[here\]\(http://x\)" in text["text"]
    (action,) = attachment["content"]["actions"]
    assert action["url"] == _LINK
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"


@pytest.mark.parametrize("kind", ["slack", "teams"])
def test_a_chat_gets_no_values(database: Path, kind: Format) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            await we.endpoint(receiver.url(), format=kind)
            await we.create("Front desk", description="A value")
            await we.deliver()
            (got,) = receiver.got
            assert b"A value" not in got.body
            assert b"assistant 1 (version 1)" in got.body.replace(b"\\", b"")

    told(database, story)
