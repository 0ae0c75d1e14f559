"""A document that became another one, whichever kind of patch did that."""

from __future__ import annotations

from typing import Any

import pytest

from events.bodies.documents import Document
from events.errors import InvalidSettings
from tests.events.given import created, given


@pytest.mark.parametrize("value", [None, 0, {}])
def test_a_setting_that_there_is_not_is_refused_with_null_too(value: Any) -> None:
    document = Document(given(created()).state.settings, 0)
    with pytest.raises(InvalidSettings) as refused:
        document.became(document.copy() | {"nonsense": value}, strict=True)
    assert [(error.loc, error.type) for error in refused.value.errors] == [
        (("body", "nonsense"), "extra_forbidden")
    ]
    kept = {"name": document.copy()["name"]}
    assert document.became(document.copy() | kept, strict=True).tree == {}  # the control
