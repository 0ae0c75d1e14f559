"""Members that the server computes from others."""

from __future__ import annotations

from events.pointers import Tree

COMPUTED = ("/tools_settings/enabled_tools",)  # JSON Pointers
# Tools by their settings, in the order in which ``enabled_tools`` lists them.
_BUILT_IN_TOOLS = {
    "end_call": "endCall",
    "transfer_call": "transferCall",
    "dtmf_solver": "dtmfSolver",
    "send_sms": "sendSms",
}


def derive(settings: Tree) -> Tree:
    """The settings with these members computed; other members stay as they are."""
    tools = settings["tools_settings"]
    enabled = [tool for name, tool in _BUILT_IN_TOOLS.items() if tools[name]["enabled"]]
    return settings | {"tools_settings": tools | {"enabled_tools": enabled}}
