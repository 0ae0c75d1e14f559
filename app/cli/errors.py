"""Errors that end a command in one line, and the exit code of each."""

from __future__ import annotations

import sys

import rich_click as click

from app.audit.resume import NotAnExport
from app.audit.signing import AuditKeyMissing
from app.cli import terminal
from app.cli.copy import NotACopy
from app.cli.manifest import BackupRefused
from app.config import ConfigError
from app.storage.backup_errors import NoRoom, NotEmpty, ToolFailed, ToolMissing
from app.storage.disk_state import WritingSuspended
from app.storage.lock_file import DatabaseHeld, FileRefused
from app.storage.postgresql import PoolerRefused
from app.storage.schema import (
    DatabaseLost,
    NewerSchema,
    NewerSettings,
    NotFolded,
    NotMigrated,
)
from app.vault.keys import MasterKeyError
from events.codec import NewerEvent
from events.errors import AssistantNotFound, InvalidSettings

_INTERRUPTED = 130  # the exit code that shells give for Ctrl-C
# Errors whose text says what to do.
_EXPLAINED = (
    MasterKeyError,
    AuditKeyMissing,
    DatabaseHeld,
    FileRefused,
    PoolerRefused,
    DatabaseLost,
    NewerSchema,
    NewerSettings,
    NewerEvent,
    NotFolded,
    NotMigrated,
    NotACopy,
    NotAnExport,
    NoRoom,
    NotEmpty,
    BackupRefused,
    ToolFailed,
    ToolMissing,
    WritingSuspended,
)


def report(error: Exception) -> None:
    """Print an error in one line and exit; returns for an error that is a bug."""
    match error:
        case click.Abort():
            # Either Ctrl-C, or the answer to a question.
            is_interrupted = isinstance(error.__context__, KeyboardInterrupt)
            terminal.fail(*(("interrupted", _INTERRUPTED) if is_interrupted else ("not done", 1)))
        case click.ClickException():
            terminal.fail(_usage(error), error.exit_code)
        case ConfigError():
            terminal.fail(str(error), 2)
        case InvalidSettings(errors=[first, *_]):
            terminal.fail(f"--{first.loc[-1]}: {first.msg}", 2)
        case BrokenPipeError():  # the process that reads stdout has closed it
            sys.exit(1)
        case OSError():
            terminal.fail(_failure(error), 1)
        case AssistantNotFound():
            terminal.fail(f"there is no assistant {error.assistant_id}", 1)
        case _ if isinstance(error, _EXPLAINED):
            terminal.fail(str(error), 1)


def _usage(error: click.ClickException) -> str:
    """What is wrong with the arguments, and which help explains them."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    return message if context is None else f"{message} See '{context.command_path} --help'"


def _failure(error: OSError) -> str:
    """What the system could not do: with which file, and why."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
