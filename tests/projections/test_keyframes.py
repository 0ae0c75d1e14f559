from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all

from events import store
from events.changed import fold
from projections import keyframes
from tests.events.log import Desk, Log, play, rows
from tests.events.strategies import few
from tests.projections.changes import OFTEN, STEPS


@few
@for_all(STEPS)
def test_a_state_from_the_nearest_keyframe_is_the_fold_of_its_events(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    with log.undone() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyframes, "EVERY", OFTEN)
        play(Desk(log, connection), steps)
        for organization_id, assistant_id, version, *_ in rows(connection):
            key = (organization_id, assistant_id)
            stream = list(store.read_stream(connection, *key))
            for number in range(1, version + 1):
                then = keyframes.state_at(connection, *key, number)
                assert then == fold(stream[:number])
                assert (
                    keyframes.state_at_time(connection, *key, stream[number - 1].occurred_at)
                    == then
                )
