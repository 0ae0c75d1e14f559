"""One line of ``doctor``: what was looked at, whether it is right, and otherwise what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, ParamSpec

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

P = ParamSpec("P")
State = Literal["ok", "warn", "wrong"]


class Finding(Struct, frozen=True):
    """What was found; the text of what is not ok says what to do."""

    state: State
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    """As it should be."""
    return Finding("ok", subject, text)


def warn(subject: str, text: str) -> Finding:
    """Works, and may do harm later."""
    return Finding("warn", subject, text)


def wrong(subject: str, text: str) -> Finding:
    """Does not work, or loses data."""
    return Finding("wrong", subject, text)


def found(
    subject: str,
    look: Callable[P, Finding | Iterable[Finding]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Iterator[Finding]:
    """What a look finds; an error that ends it is a finding, too."""
    try:
        findings = look(*args, **kwargs)
        yield from (findings,) if isinstance(findings, Finding) else findings
    except Exception as error:  # noqa: BLE001  # whatever it is, the other lines help to find it
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        yield wrong(subject, first_line)
