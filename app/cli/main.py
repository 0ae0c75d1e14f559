"""The ``backstory`` command. Data goes to stdout, logs to stderr; exit codes are 0, 1 and 2."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

import rich_click as click

from app.cli import terminal

click.rich_click.TEXT_MARKUP = "rich"


class Listed(click.RichCommand):
    """A command as the help of its group shows it: the first paragraph of its own help.

    Its module is imported when it is chosen: most of a command's time is importing.
    """

    def __init__(self, name: str, place: str, text: str) -> None:
        super().__init__(name=name, help=text)
        self._place = place

    def load(self) -> click.Command:
        """The command itself. What its import has made lives as long as the process."""
        module, _, function = self._place.partition(":")
        command: click.Command = getattr(import_module(module), function)
        if not gc.isenabled():  # ``app.__main__`` has disabled it
            gc.freeze()
            gc.enable()
        return command


class _Group(click.RichGroup):
    """A group of commands that are ``Listed``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The chosen command, imported, and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Listed) else command, rest


_COMMANDS = [
    Listed(
        "archive",
        "app.cli.archive:archive_log",
        "Write all events before a date to files, and prove them. Nothing is removed from the log.",
    ),
    _Group(
        name="audit",
        help="Verify exports of the audit log, and look after the key that signs it.",
        commands=[
            Listed(
                "key",
                "app.cli.audit:show_key",
                "Print the public keys that sign an organization's log: the KEYFILE of verify.",
            ),
            Listed(
                "rotate-key",
                "app.cli.audit:rotate_key",
                "Sign with a new key from the next start on; the old public key stays known.",
            ),
            Listed(
                "verify",
                "app.cli.verify:verify",
                "Prove offline that nobody rewrote an ndjson export; several FILEs are parts, in"
                " order.",
            ),
        ],
    ),
    Listed(
        "backup",
        "app.cli.backup:backup",
        "Copy a database into a folder while a server runs; 'verify' proves such a copy.",
    ),
    Listed(
        "check",
        "app.cli.maintenance:check",
        "Compare views and hashes with the log, read-only; exit 1 and a diff where they differ.",
    ),
    Listed(
        "copy",
        "app.cli.maintenance:copy_database",
        "Copy an installation into another database, and prove it; stop what writes either first.",
    ),
    Listed(
        "demo",
        "app.cli.serve:show_demo",
        "Serve a temporary database with three assistants and their history.",
    ),
    Listed(
        "doctor",
        "app.cli.doctor.command:doctor",
        "Examine an installation, also beside a running server; exit 1 where something is wrong.",
    ),
    Listed(
        "erase",
        "app.cli.maintenance:erase",
        "Destroy sealed secrets and the keys that sealed them. The history stays. Irrevocable.",
    ),
    Listed(
        "export",
        "app.cli.export:export_log",
        "Write the audit log to a file, also beside a running server; continue a file that was"
        " cut.",
    ),
    _Group(
        name="keys",
        help="Make, list and revoke API keys.",
        commands=[
            Listed(
                "create",
                "app.cli.keys:create_key",
                "Make a key and print it: this is the only time that it is shown.",
            ),
            Listed(
                "list",
                "app.cli.keys:list_keys",
                "List every key: prefix, role, state, organization, name.",
            ),
            Listed("revoke", "app.cli.keys:revoke_key", "Revoke the key that starts with PREFIX."),
        ],
    ),
    Listed(
        "migrate",
        "app.cli.maintenance:migrate_database",
        "Bring a database up to this release's schema and settings.",
    ),
    Listed(
        "rebuild",
        "app.cli.maintenance:rebuild",
        "Drop the views, fold the log again, and say whether the result equals what was there.",
    ),
    Listed(
        "restore",
        "app.cli.restore:restore",
        "Restore a backup into an empty database, and prove it: hashes, trees, roots and views.",
    ),
    Listed(
        "serve",
        "app.cli.serve:serve",
        "Serve the API; prints its URL once it listens. One process holds an SQLite file at a"
        " time.",
    ),
    _Group(
        name="vault",
        help="Look after the keys that seal secrets.",
        commands=[
            Listed(
                "purge",
                "app.cli.vault:purge_secrets",
                "Destroy the secrets of assistants that were deleted before"
                " BACKSTORY_SECRET_GRACE.",
            ),
            Listed(
                "rotate",
                "app.cli.vault:rotate_keys",
                "Wrap every organization's keys under the newest master key.",
            ),
        ],
    ),
]


@click.group(
    cls=_Group, commands=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="backstory")
def cli() -> None:
    """Backstory: the settings of voice assistants, with every change kept.

    Start with [bold]backstory demo[/]. Configuration comes from BACKSTORY_* variables and flags.
    """


def main() -> None:
    """Run the command. An error that an operator can act on is one line and an exit code."""
    try:
        with terminal.outputs():
            code = cli.main(prog_name="backstory", standalone_mode=False)
    except Exception as error:
        from app.cli.errors import report  # noqa: PLC0415  # it imports most of the modules

        report(error)
        raise
    sys.exit(code)
