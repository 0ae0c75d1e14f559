"""What an admin asks for: tests, one event again, a replay; and the list of what was delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.webhooks.deliveries import KEPT
from tests.app.webhooks.receivers import OK, receiving, status
from tests.app.webhooks.stories import told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.webhooks.stories import Story


def test_a_test_reaches_an_endpoint_that_is_switched_off(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving(status(500)) as receiver:
            one = await we.endpoint(receiver.url(), enabled=False)
            await we.ask(one, None)
            await we.ask(one, None)
            await we.create()
            await we.deliver()
            assert [got.event["type"] for got in receiver.got] == ["backstory.webhook_test"] * 2
            assert len({got.headers["webhook-id"] for got in receiver.got}) == 2
            made = await we.made(one)
            assert [(one.state, one.status, one.sequence) for one in made] == [
                ("failed", 500, None),
                ("delivered", 204, None),
            ]
            await we.deliver()
            assert len(receiver.got) == 2  # one attempt each

    told(database, story)


def test_one_event_is_sent_again_beside_the_order(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving(OK, OK, status(500)) as receiver:
            one = await we.endpoint(receiver.url(), event_types=["assistant_created"])
            for _ in range(3):
                await we.create()
            await we.deliver()
            first, second, failed = receiver.sequences
            before = (await we.webhook(one)).failures
            await we.ask(one, first)
            await we.deliver()
            assert receiver.sequences == [first, second, failed, first]
            assert receiver.got[0].body == receiver.got[3].body
            assert (await we.webhook(one)).failures == before == 1

    told(database, story)


def test_a_replay_sends_what_was_sent_and_can_skip_what_was_not(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            one = await we.endpoint(receiver.url(), event_types=["assistant_created"])
            for _ in range(3):
                await we.create()
            await we.deliver()
            first = receiver.sequences[0]
            await we.replay(one, first)
            await we.deliver()
            assert receiver.sequences == [first, first + 1, first + 2, first + 1, first + 2]
            await we.create()
            await we.replay(one, first + 4)
            await we.deliver()
            assert len(receiver.got) == 5

    told(database, story)


def test_a_replay_during_a_delivery_is_not_overwritten(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            one = await we.endpoint(receiver.url(), event_types=["assistant_created"])
            for _ in range(2):
                await we.create()
            await we.deliverer.look()
            await receiver.came.wait()
            await we.replay(one, 0)
            await we.deliverer.settle()
            await we.deliver()
            assert receiver.sequences[-2:] == receiver.sequences[:2]
            assert len(receiver.got) in (3, 4)

    told(database, story)


def test_the_last_attempts_are_kept(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            one = await we.endpoint(receiver.url())
            for _ in range(KEPT + 5):
                await we.create()
            await we.deliver()
            made = await we.made(one)
            assert len(made) == KEPT
            assert made[-1].sequence == receiver.sequences[-1]
            assert made[-1].id == KEPT + 5

    told(database, story)
