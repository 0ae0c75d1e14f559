"""Each event reaches an endpoint at least once and in order, whatever its receiver does."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.webhooks import progress
from app.webhooks.sending import Sender
from tests.app.webhooks.receivers import HANGS, OK, receiving, status
from tests.app.webhooks.stories import START, told
from tests.databases import query

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.webhooks.receivers import Request
    from tests.app.webhooks.stories import Story

_MINUTE = timedelta(minutes=1)


def verified(request: Request, secret: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The body, if the signature is right to the published library; by the test's clock."""
    monkeypatch.setattr("standardwebhooks.webhooks.datetime", _At)
    return Verifier(secret).verify(request.body, request.headers)


class _At:
    """The library's clock."""

    @staticmethod
    def now(tz: Any) -> Any:
        return START.astimezone(tz)

    @staticmethod
    def fromtimestamp(seconds: float, tz: Any) -> Any:
        return type(START).fromtimestamp(seconds, tz)


def test_events_come_in_order_and_once(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            one = await we.endpoint(receiver.url())
            for number in range(5):
                await we.create(str(number))
            await we.deliver()
            await we.deliver()
            first = (await we.webhook(one)).delivered - 4
            assert receiver.sequences == list(range(first, first + 5))
            assert [made.state for made in await we.made(one)] == ["delivered"] * 5

    told(database, story)


def test_a_message_is_a_thin_cloudevent_with_a_signature_that_the_library_verifies(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            await we.endpoint(receiver.url())
            key = {"api_key": "sk-of-nobody"}
            await we.create("Front desk", description="A value", llm_provider_config=key)
            await we.deliver()
            (got,) = receiver.got
            assert verified(got, we.secret, monkeypatch) == got.event
            with pytest.raises(WebhookVerificationError):  # control
                verified(got, "whsec_" + "A" * 43 + "=", monkeypatch)
            assert got.headers["webhook-id"] == got.event["id"] == f"1/{got.sequence}"
            assert got.headers["content-type"].startswith("application/cloudevents+json")
            assert got.event["type"] == "backstory.assistant_created"
            assert got.event["subject"] == "assistants/1"
            assert got.event["data"]["sequence"] == got.sequence
            assert "/description" in got.event["data"]["paths"]
            assert b"A value" not in got.body
            assert b"sk-of-nobody" not in got.body

    told(database, story)


def test_a_message_stays_small_and_says_how_many_paths_it_leaves_out(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            await we.endpoint(receiver.url())
            await we.create(custom_settings={"x" * 90 + str(number): 1 for number in range(900)})
            await we.deliver()
            (got,) = receiver.got
            assert len(got.body) < 20_000
            data = got.event["data"]
            assert len(data["paths"]) + data["more_paths"] > 900

    told(database, story)


def test_an_endpoint_gets_what_it_chose(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as one, receiving() as two, receiving() as three:
            await we.endpoint(one.url(), event_types=["webhook_created"])
            await we.endpoint(two.url(), assistant_ids=[2])
            await we.endpoint(three.url(), paths=["/description"], assistant_ids=[1])
            for _ in range(3):
                await we.create()
            await we.deliver()
            types = [got.event["type"] for got in one.got]
            assert types == ["backstory.webhook_created"] * 2
            assert [got.event["subject"] for got in two.got] == ["assistants/2"]
            assert [got.event["subject"] for got in three.got] == ["assistants/1"]

    told(database, story)


def test_what_nobody_chose_costs_no_write(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            one = await we.endpoint(receiver.url(), assistant_ids=[99])
            await we.create()
            before = query(database, "SELECT cursor, owned_until FROM webhooks")
            await we.deliver()
            assert query(database, "SELECT cursor, owned_until FROM webhooks") == before
            await we.change(one, assistant_ids=[])  # control
            await we.deliver()
            assert query(database, "SELECT cursor, owned_until FROM webhooks") != before
            assert receiver.got

    told(database, story)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(500), "The answer was 500"),
        (status(302, "location: http://127.0.0.1:1/"), "redirects are not followed"),
        (HANGS, "no answer in 0.2 s"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "ended too early"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "ended too early"),
        (b"not http at all\r\n\r\n", "not HTTP"),
    ],
    ids=["fails", "redirects", "hangs", "dies in the head", "dies in the body", "is no HTTP"],
)
def test_an_event_that_fails_is_sent_again_before_the_later_ones(
    database: Path, answer: bytes, said: str
) -> None:
    async def story(we: Story) -> None:
        async with receiving(OK, answer) as receiver:
            one = await we.endpoint(receiver.url())
            for _ in range(3):
                await we.create()
            await we.deliver()
            failed = (await we.webhook(one)).delivered + 1
            assert receiver.sequences == [failed - 1, failed]
            assert said in str((await we.made(one))[-1].error)
            await we.deliver()  # not yet
            assert len(receiver.got) == 2
            we.clock.now += _MINUTE
            await we.deliver()
            assert receiver.sequences == [failed - 1, failed, failed, failed + 1]

    told(database, story, sender=Sender(allow_private=True, seconds=0.2))


def test_an_endless_answer_is_not_read_to_its_end(database: Path) -> None:
    async def story(we: Story) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n"
        async with receiving(head + b"x" * 200_000) as receiver:
            one = await we.endpoint(receiver.url())
            await we.create()
            await we.deliver()
            assert [made.state for made in await we.made(one)] == ["delivered"]

    told(database, story)


def test_the_pauses_between_attempts_grow_and_then_the_endpoint_is_switched_off(
    database: Path,
) -> None:
    async def story(we: Story) -> None:
        async with receiving(*[status(503)] * 20) as receiver:
            one = await we.endpoint(receiver.url())
            await we.create()
            for number, pause in enumerate(progress.RETRIES, 1):
                await we.deliver()
                webhook = await we.webhook(one)
                assert (len(receiver.got), webhook.failures) == (number, number)
                assert webhook.next_attempt_at is not None
                assert pause <= webhook.next_attempt_at - we.clock.now <= pause * 1.1
                we.clock.now = webhook.next_attempt_at
            await we.deliver()
            assert not (await we.webhook(one)).enabled
            we.clock.now += timedelta(days=9)
            await we.deliver()
            assert len(receiver.got) == 10
            ((body,),) = query(
                database, "SELECT body FROM events WHERE type = 'webhook_disabled.v1'"
            )
            event = json.loads(body)
            assert event["actor"]["type"] == "system"
            assert (
                event["reason"] == "Switched off after 10 attempts to deliver. The answer was 503"
            )
            # Switched on again, it goes on where it stopped.
            receiver.answers = iter(())
            await we.change(one, enabled=True)
            await we.deliver()
            assert receiver.sequences[-3:] == [receiver.sequences[0] + n for n in range(3)]

    told(database, story)


def test_a_receiver_that_is_gone_is_left_alone_at_once(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving(status(410)) as receiver:
            one = await we.endpoint(receiver.url())
            await we.create()
            await we.deliver()
            assert not (await we.webhook(one)).enabled
            await we.deliver()
            assert len(receiver.got) == 1

    told(database, story)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("60", 60), ("1", 5), ("999999999", 86400), ("-5", 5), ("soon", 5), ("9" * 400, 5)],
)
def test_a_receiver_may_ask_for_more_time_within_a_day(
    database: Path, said: str, seconds: int
) -> None:
    async def story(we: Story) -> None:
        async with receiving(status(429, f"retry-after: {said}")) as receiver:
            one = await we.endpoint(receiver.url())
            await we.create()
            await we.deliver()
            at = (await we.webhook(one)).next_attempt_at
            assert at is not None
            assert seconds <= (at - we.clock.now).total_seconds() <= seconds * 1.1

    told(database, story)


def test_after_a_rotation_both_secrets_sign_for_a_day(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(we: Story) -> None:
        async with receiving() as receiver:
            one = await we.endpoint(receiver.url(), event_types=["assistant_created"])
            old, new = we.secret, await we.rotate(one)
            await we.create()
            await we.deliver()
            (got,) = receiver.got
            assert verified(got, old, monkeypatch) == verified(got, new, monkeypatch)
            we.clock.now += timedelta(days=1)
            await we.create()
            await we.deliver()
            assert len(receiver.got[-1].headers["webhook-signature"].split()) == 1

    told(database, story)


def test_one_organization_leaves_room_for_others(database: Path) -> None:
    async def story(we: Story) -> None:
        async with receiving(*[HANGS] * 9) as slow, receiving() as fast:
            for _ in range(8):
                await we.endpoint(slow.url())
            await we.endpoint(fast.url(), organization_id=2)
            await we.create()
            await we.create(organization_id=2)
            await we.deliverer.look()
            await fast.came.wait()
            assert len(slow.got) <= 1  # a quarter of four

    told(database, story, most=4)


def test_a_stop_does_not_wait_for_a_receiver_and_what_was_cut_off_is_sent_again(
    database: Path,
) -> None:
    async def story(we: Story) -> None:
        async with receiving(OK, HANGS) as receiver:
            one = await we.endpoint(receiver.url())
            for _ in range(3):
                await we.create()
            receiver.handle = lambda _: None
            await we.deliverer.look()
            while len(receiver.got) < 2:
                receiver.came.clear()
                await receiver.came.wait()
            await we.deliverer.close()
            await we.deliverer.look()  # closed: it begins nothing
            assert len(receiver.got) == 2
            ids.append(one)

    async def second(we: Story) -> None:
        async with receiving() as receiver:
            await we.change(ids[0], url=receiver.url())
            await we.deliver()
            assert receiver.sequences[:3] == sorted(receiver.sequences)[:3]
            assert {made.state for made in await we.made(ids[0])} == {"delivered"}
            assert len(receiver.got) >= 3

    ids: list[int] = []
    told(database, story)
    told(database, second)
