"""Every command of ``backstory``, with the names that lead to it."""

from __future__ import annotations

from collections.abc import Iterator

import rich_click as click

from app.cli.main import cli


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command, except for groups that do nothing by themselves."""
    return _below(cli, ())


def _below(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command and path:
        yield path, command
    context = click.Context(command)
    for name in command.list_commands(context):
        _, found, _ = command.resolve_command(context, [name])
        assert found is not None
        yield from _below(found, (*path, name))


def options() -> dict[str, set[str]]:
    """The options of each command, by the command's whole name."""
    return {
        " ".join(path): {
            name
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for name in parameter.opts
        }
        for path, command in commands()
    }
