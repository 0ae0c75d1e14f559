"""``backstory vault``: rotate the keys that encrypt secrets, and purge secrets."""

from __future__ import annotations

import rich_click as click

from app.assistants import purging, secrets
from app.cli import context, terminal
from app.cli.options import DATABASE
from app.transactions.caller import system
from events import log_head


@click.command("rotate")
@click.option("--data-keys", is_flag=True, help="Seal the stored secrets anew, too.")
@DATABASE
def rotate_keys(database: str | None, *, data_keys: bool) -> None:
    """Wrap every organization's keys under the newest master key.

    Give both keys, the new one first: BACKSTORY_MASTER_KEY="NEW OLD".
    """
    instead = "POST /api/v1/vault/rotate for data keys; stop it first to change the master key"
    config = context.configure(database_url=database)
    with context.writing(config, instead, destroys=True) as unit:
        ids = unit.read(log_head.organization_ids)
        for organization_id in ids:
            caller = system(organization_id, "backstory vault rotate")
            secrets.rotate(unit, caller, data_keys=data_keys)
    terminal.say(f"rotated the keys of {len(ids)} organizations")


@click.command("purge")
@click.option(
    "--confirm-clock",
    is_flag=True,
    help="Trust the system clock although it is further ahead than servers have run.",
)
@DATABASE
def purge_secrets(database: str | None, *, confirm_clock: bool) -> None:
    """Destroy the secrets of assistants that were deleted before BACKSTORY_SECRET_GRACE.

    A clock that is further ahead than the servers have seen time pass is not believed.
    """
    config = context.configure(database_url=database)
    instead = "the server purges by itself; stop it first to confirm the clock"
    with context.writing(config, instead, destroys=True) as unit:
        ids = unit.read(log_head.organization_ids)
        unit.lock(ids)
        if confirm_clock:
            for organization_id in ids:
                unit.confirm_time(organization_id)
        purges = [purging.purge(organization_id, config.grace, unit) for organization_id in ids]
        now = unit.clock()
    terminal.say(f"{sum(purge.count for purge in purges)} secrets purged")
    if doubted := sum(purge.doubted for purge in purges):
        terminal.fail(
            f"the secrets of {doubted} deleted assistants were left alone: the clock says"
            f" {now:%Y-%m-%d %H:%M} UTC, further ahead than the servers have seen time pass;"
            " if it is right, add --confirm-clock",
            1,
        )
