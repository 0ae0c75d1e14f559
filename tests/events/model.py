"""An assistant by the published rules alone: a dict, and a copy of every state it ever had.

It knows nothing of events, paths or shapes; what is slow and plain here is what makes it
worth comparing with.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from events.pointers import Tree, same
from events.settings import Settings
from tests.events.given import DEFAULTS, merged

_OBJECTS = (
    "llm_provider_config",
    "llm_settings",
    "interruption_settings",
    "tts_settings",
    "stt_settings",
    "tools_settings",
    "rag_settings",
    "llm_fallback_providers",
    "recording_settings",
)
_NULL_IS_IGNORED = ("name", "llm_provider", "is_active", "conversation_continuity_enabled")
_FREE_FORM = ("custom_config", "provider_config")
_TOOLS = {
    "end_call": "endCall",
    "transfer_call": "transferCall",
    "dtmf_solver": "dtmfSolver",
    "send_sms": "sendSms",
}


class Model:
    """``copies[n - 1]`` is what the settings were after version n."""

    def __init__(self, body: Tree) -> None:
        self.copies = [patched(DEFAULTS, body, is_new=True)]
        self.deleted = False

    @property
    def settings(self) -> Tree:
        return self.copies[-1]

    @property
    def version(self) -> int:
        return len(self.copies)

    def patch(self, body: Tree) -> bool:
        """Whether anything changed."""
        return self._become(patched(self.settings, body))

    def restore(self, version: int) -> bool:
        return self._become(copy.deepcopy(self.copies[version - 1]))

    def delete(self) -> None:
        self.copies.append(copy.deepcopy(self.settings))
        self.deleted = True

    def revive(self) -> None:
        self.copies.append(copy.deepcopy(self.settings))
        self.deleted = False

    def _become(self, settings: Tree) -> bool:
        if same(settings, self.settings):
            return False
        self.copies.append(settings)
        return True


def patched(settings: Tree, body: Tree, *, is_new: bool = False) -> Tree:
    """The settings with a body merged in, as section 0 of the contract says; no secrets.

    In a new assistant, null is a value everywhere.
    """
    result = copy.deepcopy(settings)
    for name, value in copy.deepcopy(body).items():
        if value is not None:
            result[name] = _merged(name, result[name], value, is_new=is_new)
        elif name not in _NULL_IS_IGNORED:
            result[name] = DEFAULTS[name] if name in _OBJECTS else None
    tools = result["tools_settings"]
    tools["enabled_tools"] = [said for tool, said in _TOOLS.items() if tools[tool].get("enabled")]
    completed: Tree = msgspec.to_builtins(msgspec.convert(result, Settings))
    return completed


def _merged(name: str, old: Any, new: Any, *, is_new: bool) -> Any:
    if name in _FREE_FORM:
        return new if new is None or is_new else merged(old, new)
    if name == "custom_settings" and not is_new:
        members = (old or {}) | new
        return {name: value for name, value in members.items() if value is not None}
    if not isinstance(new, dict):
        return new
    olds = old if isinstance(old, dict) else {}
    return olds | {
        name: _merged(name, olds.get(name), value, is_new=is_new) for name, value in new.items()
    }
