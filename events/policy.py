"""An organization's policy for changes, and warnings about suspicious ones.

A change that breaks the policy is refused. A change with a warning is made, and the answer holds
the warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, field

from events.errors import DomainError, Location
from events.pointers import POINTER_BELOW, Paths, Tree, at, is_reference, same
from events.secrets.references import URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Pointer = Annotated[str, Meta(pattern=POINTER_BELOW, max_length=1000)]
Pointers = Annotated[list[Pointer], Meta(max_length=100)]
ReasonRule = Literal["require_reason", "require_reason_for"]
Rule = Literal[
    "prompt-repeats-itself", "prompt-shrinks", "recording-switched-off", "disclosure-switched-off",
    "transfer-numbers-changed", "tools-emptied",
]  # fmt: skip

REASON_AT: Location = ("body", "change_description")
PROMPT = "/llm_settings/system_prompt"
RECORDING = "/recording_settings/enabled"
DISCLOSURE = "/recording_settings/disclosure_enabled"
TRANSFER_NUMBERS = "/tools_settings/transfer_call/transfer_numbers"
TOOLS = ("/tools_settings/enabled_tools", "/tools_settings/custom_tools")
_WATCHED = Paths((PROMPT, RECORDING, DISCLOSURE, TRANSFER_NUMBERS, *TOOLS))

_SHORTEST_REPEATED = 40  # characters; shorter texts may repeat by chance
_SHORTEST_SHRINKING = 100  # characters; shorter prompts are often rewritten
_SHRUNK_BY = 5  # less than a fifth is left


class Policy(Struct, frozen=True, kw_only=True):
    """What an organization demands of every change.

    Paths are JSON Pointers. A rule for a path concerns changes of that path, of all below it and
    of all above it, because those change it as well.
    """

    require_condition: bool = False  # every change of an assistant must be conditional
    require_reason: bool = False  # a reason for every change
    require_reason_for: Pointers = field(default_factory=list)  # a reason where it touches these
    admin_paths: Pointers = field(default_factory=list)  # only admins may change these
    # In these two, ``*`` stands for any member or element. They concern values set from now on.
    secret_paths: Pointers = field(default_factory=list)  # all texts here are secret
    plain_paths: Pointers = field(
        default_factory=list
    )  # no text here is secret because of its name


class Warned(Struct, frozen=True, kw_only=True):
    """Something suspicious about a change that is made all the same.

    ``message`` is a sentence for an operator. It may hold counts, but no value of a setting.
    """

    rule: Rule
    path: str
    message: str


class ReasonRequired(DomainError):
    """The policy demands a reason for the change.

    ``paths`` are those that the demand is about; empty if it is about every change. ``loc`` is the
    place of the reason in the request.
    """

    def __init__(
        self, rule: ReasonRule, paths: tuple[str, ...] = (), loc: Location = REASON_AT
    ) -> None:
        super().__init__(rule, paths)
        self.rule = rule
        self.paths = paths
        self.loc = loc


class PathProtected(DomainError):
    """Only admins may change these paths of the change."""

    rule = "admin_paths"

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__(paths)
        self.paths = paths


def check(
    policy: Policy,
    changed: Iterable[str],
    reason: str | None,
    *,
    is_admin: bool,
    reason_at: Location = REASON_AT,
) -> None:
    """Hold a change against the policy; ``changed`` are its paths.

    Raises ``PathProtected`` before ``ReasonRequired``. Admins must give a reason, too. A deletion
    has no paths: it needs a reason only if every change does.
    """
    paths = tuple(changed)
    if not is_admin and (touched := _touched(policy.admin_paths, paths)):
        raise PathProtected(touched)
    if reason is not None and reason.strip():
        return
    if policy.require_reason:
        raise ReasonRequired("require_reason", loc=reason_at)
    if touched := _touched(policy.require_reason_for, paths):
        raise ReasonRequired("require_reason_for", touched, reason_at)


def _touched(rules: list[str], paths: tuple[str, ...]) -> tuple[str, ...]:
    ruled = Paths(rules)
    return tuple(path for path in paths if ruled.overlap(path))


def is_watched(changed: Iterable[str]) -> bool:
    """Whether a change of these paths can have a warning: most need no closer look."""
    return any(map(_WATCHED.overlap, changed))


def warnings(before: Tree, after: Tree) -> list[Warned]:
    """The warnings about a change of settings, always in the same order.

    They are about what the change did, not about what was suspicious before. Takes time in
    proportion to the prompts.
    """
    return [
        *_prompt_repeats(_text(before), _text(after)),
        *_prompt_shrinks(_text(before), _text(after)),
        *_recording_off(before, after),
        *_disclosure_off(before, after),
        *_numbers_changed(before, after),
        *(warned for path in TOOLS for warned in _tools_emptied(before, after, path)),
    ]


def _text(settings: Tree) -> str:
    prompt = at(settings, PROMPT)
    if is_reference(prompt):  # a prompt that is nothing but a URL with user information
        prompt = prompt.get(URL)
    return prompt if isinstance(prompt, str) else ""


def _items(settings: Tree, path: str) -> list[Any]:
    value = at(settings, path)
    return value if isinstance(value, list) else []


def _prompt_repeats(old: str, new: str) -> Iterator[Warned]:
    if new != old and (_is_doubled(new.strip()) or _holds_twice(new, old.strip())):
        message = "The system prompt holds the same text twice; was it pasted by mistake?"
        yield Warned(rule="prompt-repeats-itself", path=PROMPT, message=message)


def _is_doubled(text: str) -> bool:
    """Whether a trimmed text is another text twice, with or without blanks between.

    That text would end where the blanks around the middle start: there is one candidate to compare.
    """
    half = len(text) // 2
    first, middle, second = text[:half], text[half:-half], text[-half:]
    first = first.rstrip()
    return len(first) >= _SHORTEST_REPEATED and not middle.strip() and first == second.lstrip()


def _holds_twice(text: str, part: str) -> bool:
    # Since Python 3.10, counting takes time in proportion to the text, not to text times part.
    return len(part) >= _SHORTEST_REPEATED and text.count(part) > 1


def _prompt_shrinks(old: str, new: str) -> Iterator[Warned]:
    if len(old) >= _SHORTEST_SHRINKING and len(new) * _SHRUNK_BY < len(old):
        message = f"The system prompt shrank from {len(old)} to {len(new)} characters."
        yield Warned(rule="prompt-shrinks", path=PROMPT, message=message)


def _recording_off(before: Tree, after: Tree) -> Iterator[Warned]:
    if at(before, RECORDING) is True and at(after, RECORDING) is False:
        message = "Calls are no longer recorded."
        yield Warned(rule="recording-switched-off", path=RECORDING, message=message)


def _disclosure_off(before: Tree, after: Tree) -> Iterator[Warned]:
    if at(before, DISCLOSURE) is True and at(after, DISCLOSURE) is not True:
        message = "Callers are no longer told that calls are recorded."
        yield Warned(rule="disclosure-switched-off", path=DISCLOSURE, message=message)


def _numbers_changed(before: Tree, after: Tree) -> Iterator[Warned]:
    old, new = _items(before, TRANSFER_NUMBERS), _items(after, TRANSFER_NUMBERS)
    if not same(old, new):
        message = f"Calls are transferred to other numbers: {_counted_changes(old, new)}."
        yield Warned(rule="transfer-numbers-changed", path=TRANSFER_NUMBERS, message=message)


def _counted_changes(old: list[Any], new: list[Any]) -> str:
    """What became of a list: "2 added, 1 removed"."""
    added = sum(one not in old for one in new)
    removed = sum(one not in new for one in old)
    counts = ((added, "added"), (removed, "removed"))
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "in another order"


def _tools_emptied(before: Tree, after: Tree, path: str) -> Iterator[Warned]:
    old = _items(before, path)
    if old and not _items(after, path):
        message = f"The assistant has none of these tools any more: it had {len(old)}."
        yield Warned(rule="tools-emptied", path=path, message=message)
