"""Placeholders in a text, such as ``{{name}}`` or ``$NAME``, that another program fills in."""

from __future__ import annotations

import re

PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}|\$?\{[^{}]*\}|<[^<>]*>|\$[A-Z_]+")
# What the placeholders of any template language may look like.
_SIGN = re.compile(r"[{}<>$]|%\(|%\w{1,50}%|\[\[|(?:^|[/.]):\w")


def may_hold_placeholder(text: str) -> bool:
    """Whether a text may hold a placeholder, in whichever template language."""
    return _SIGN.search(text) is not None
