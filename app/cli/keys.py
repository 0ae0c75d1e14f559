"""``backstory keys``: make, list and revoke API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from app.accounts import api_keys, organizations, principals
from app.cli import context, terminal
from app.cli.options import DATABASE, TEXT
from app.naming import clean_email, clean_name
from app.services import utc_now
from app.transactions.caller import system
from events import log_head

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.accounts.api_keys import ApiKey

_ROUTE = "/api/v1/users/me/api-keys"


@click.command("create")
@click.option(
    "--organization", required=True, type=TEXT, metavar="NAME", help="Made when it is missing."
)
@click.option("--role", required=True, type=click.Choice([role.name for role in principals.Role]))
@click.option(
    "--name",
    type=TEXT,
    metavar="TEXT",
    help="Names the key and its user; the role by default.",
)
@click.option(
    "--email", type=TEXT, metavar="ADDRESS", help="The user's address, shown in the history."
)
@click.option("--scope", "scopes", multiple=True, type=click.Choice(principals.SCOPES))
@DATABASE
def create_key(
    organization: str,
    role: str,
    name: str | None,
    email: str | None,
    scopes: tuple[str, ...],
    database: str | None,
) -> None:
    """Make a key and print it: this is the only time that it is shown."""
    clean_name(organization, ("body", "organization"))  # before a new database is made
    clean_name(name or role)
    clean_email(email)
    config = context.configure(database_url=database)
    with context.writing(config, f"POST {_ROUTE}", make=True) as unit:
        organization_id = unit.write(
            organizations.ensure_organization, unit.vault, organization, utc_now()
        )
        unit.lock([organization_id])
        user_id = unit.write(organizations.ensure_user, organization_id, name or role, email)
        _, token = api_keys.create(
            unit,
            system(organization_id, "backstory keys create"),
            user_id=user_id,
            name=name or role,
            role=principals.Role[role],
            narrowed=dict.fromkeys(scopes, True),
        )
        unit.flush()
        terminal.hand_over(token)  # if this fails, the key is not made: nobody could use it


@click.command("list")
@DATABASE
def list_keys(database: str | None) -> None:
    """List every key: prefix, role, state, organization, name."""
    with context.reading(context.configure(database_url=database)) as connection:
        for organization_id, key in _all_keys(connection):
            organization = organizations.organization_name(connection, organization_id)
            state = "active" if key.is_active else "revoked"
            terminal.say(key.key_prefix, key.role, state, organization, key.name)


@click.command("revoke")
@click.argument("prefix", type=TEXT)
@DATABASE
def revoke_key(prefix: str, database: str | None) -> None:
    """Revoke the key that starts with PREFIX."""
    instead = f"DELETE {_ROUTE}/{{key_id}}"
    with context.writing(context.configure(database_url=database), instead) as unit:
        matches = [
            (organization_id, key)
            for organization_id, key in unit.read(_all_keys)
            if key.is_active and _starts(key.key_prefix, prefix)
        ]
        if len(matches) != 1:
            terminal.fail(f"{len(matches)} active keys start with {prefix}", 1)
        ((organization_id, key),) = matches
        caller = system(organization_id, "backstory keys revoke")
        api_keys.change(unit, caller, key.id, {"is_active": False})
    terminal.say(f"revoked {key.key_prefix}")


def _all_keys(connection: sa.Connection) -> list[tuple[int, ApiKey]]:
    """The keys of all organizations, each with its organization's ID."""
    return [
        (organization_id, key)
        for organization_id in log_head.organization_ids(connection)
        for key in api_keys.list_keys(connection, organization_id)
    ]


def _starts(key_prefix: str, prefix: str) -> bool:
    """A prefix may be shorter than the stored one, or as long as the whole key."""
    return bool(prefix) and (key_prefix.startswith(prefix) or prefix.startswith(key_prefix))
