"""The ``backstory`` command. Data goes to stdout, logs to stderr; exit codes are 0, 1 and 2."""

from __future__ import annotations

import sys
from importlib import import_module

import rich_click as click

from app.cli import terminal

# A command's module is imported when the command runs: most of a command's time is importing.
_COMMANDS = {
    "archive": "app.cli.archive:archive_log",
    "audit": "app.cli.audit:audit_group",
    "check": "app.cli.maintenance:check",
    "copy": "app.cli.maintenance:copy_database",
    "demo": "app.cli.serve:show_demo",
    "erase": "app.cli.maintenance:erase",
    "export": "app.cli.export:export_log",
    "keys": "app.cli.keys:keys",
    "migrate": "app.cli.maintenance:migrate_database",
    "rebuild": "app.cli.maintenance:rebuild",
    "serve": "app.cli.serve:serve",
    "vault": "app.cli.vault:vault_group",
}
click.rich_click.TEXT_MARKUP = "rich"


class _Commands(click.RichGroup):
    """The commands of ``_COMMANDS``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order in which help shows them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; None where there is none of the name."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, function = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
