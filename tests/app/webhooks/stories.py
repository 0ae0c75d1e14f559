"""An organization with endpoints, and what delivers to them, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from app.assistants import changes
from app.services import Services, open_services
from app.transactions.caller import system
from app.webhooks import deliveries, endpoints
from app.webhooks.delivering import Deliverer
from app.webhooks.endpoints import Change
from app.webhooks.sending import Sender
from events.bodies.patch import SettingsPatch
from tests.app.standing_clock import Clock
from tests.databases import config_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from app.transactions.unit_of_work import UnitOfWork
    from app.webhooks.deliveries import Delivery
    from app.webhooks.endpoints import Webhook

CALLER = system(1, "tests")
START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


class Story:
    """What a test does with endpoints."""

    def __init__(self, services: Services, clock: Clock, deliverer: Deliverer) -> None:
        self.services = services
        self.clock = clock
        self.deliverer = deliverer

    async def write(self, work: Callable[[UnitOfWork], Any], organization_id: int = 1) -> Any:
        return await self.services.writer.write(organization_id, work)

    async def endpoint(self, url: str, organization_id: int = 1, **members: Any) -> int:
        """A new endpoint, told of what happens from now on."""
        asked = Change(url=url, **members)
        caller = system(organization_id, "tests")
        make = partial(endpoints.create, caller=caller, change=asked, allow_private=True)
        webhook, self.secret = await self.write(make, organization_id)
        return int(webhook.id)

    async def change(self, webhook_id: int, **members: Any) -> Webhook:
        work = partial(
            endpoints.change,
            caller=CALLER,
            webhook_id=webhook_id,
            change=Change(**members),
            allow_private=True,
        )
        changed: Webhook = await self.write(work)
        return changed

    async def rotate(self, webhook_id: int) -> str:
        work = partial(endpoints.rotate, caller=CALLER, webhook_id=webhook_id)
        _, secret = await self.write(work)
        return str(secret)

    async def ask(self, webhook_id: int, sequence: int | None) -> Delivery:
        work = partial(deliveries.ask, caller=CALLER, webhook_id=webhook_id, sequence=sequence)
        asked: Delivery = await self.write(work)
        return asked

    async def replay(self, webhook_id: int, after: int) -> None:
        work = partial(deliveries.replay, caller=CALLER, webhook_id=webhook_id, after=after)
        await self.write(work)

    async def create(self, name: str = "x", organization_id: int = 1, **settings: Any) -> None:
        """An event of the log."""
        caller = system(organization_id, "tests")
        patch = SettingsPatch(tree={"name": name} | settings)
        await self.write(lambda unit: changes.create(unit, caller, patch), organization_id)

    async def deliver(self) -> None:
        """One look, and the turns that it begins."""
        await self.deliverer.look()
        await self.deliverer.settle()

    async def webhook(self, webhook_id: int) -> Webhook:
        return await self.services.database.read(endpoints.find_webhook, 1, webhook_id)

    async def made(self, webhook_id: int) -> list[Delivery]:
        """The deliveries, oldest first."""
        read = self.services.database.read
        return (await read(deliveries.list_deliveries, 1, webhook_id, deliveries.KEPT))[::-1]


@asynccontextmanager
async def telling(
    database: Path, sender: Sender | None = None, clock: Clock | None = None, most: int = 16
) -> AsyncIterator[Story]:
    clock = clock or Clock(START)
    async with open_services(config_of(database), clock) as services:
        deliverer = Deliverer(
            services.database,
            services.writer,
            sender or Sender(allow_private=True),
            clock,
            most=most,
            console="https://backstory.example",
        )
        try:
            yield Story(services, clock, deliverer)
        finally:
            await deliverer.close()


def told(database: Path, story: Callable[[Story], Awaitable[None]], **options: Any) -> None:
    """Run a story."""

    async def run() -> None:
        async with telling(database, **options) as telling_it:
            await asyncio.wait_for(story(telling_it), 60)

    asyncio.run(run())
