from __future__ import annotations

from typing import Any

import httpx


def test_a_patch_changes_only_what_it_names(
    editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"/api/v1/assistants/{assistant['id']}"
    changed = editor.patch(path, json={"llm_settings": {"temperature": 0.9}}).json()
    assistant["llm_settings"]["temperature"] = 0.9
    for member in ("updated_at", "version"):
        del changed[member], assistant[member]
    assert changed == assistant
