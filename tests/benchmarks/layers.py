"""What each layer of one PATCH costs, by timing the functions themselves in a loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import TYPE_CHECKING, Any

from app.accounts.authenticator import Authenticator
from app.api import responses
from app.assistants.requests import Assistant
from app.services import utc_now
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import Key
from app.vault.sealing import Sealed, make_reference, seal_row
from events import codec, merkle
from events.assistant_key import AssistantKey
from events.bodies import parsing
from events.bodies.patch import read_patch
from events.changed import Cause, State, evolve
from events.commands import ChangeSettings, Envelope
from events.decider import decide
from events.secrets.values import Plain
from projections import current
from tests.benchmarks import places
from tests.benchmarks.load import Row
from tests.benchmarks.places import BATCH, CALLER

if TYPE_CHECKING:
    from tests.benchmarks.places import Place

_TIMES = 1000
_BODY = (
    b'{"llm_settings": {"max_tokens": 2000, "temperature": 0.3}, '
    b'"change_description": "Callers said that answers wander"}'
)
_SECRET = Sealed(Plain("sk-0123456789abcdef0123456789abcdef"), ("api_keys", "a"))


def layers(rounds: int) -> Iterator[Row]:
    """Microseconds for one PATCH, layer by layer, then the whole of it in a batch of 64."""
    with places.fresh() as place:
        places.fill(place, [2] * BATCH)
        for name, work in _layers(place).items():
            taken = median(_seconds(work) for _ in range(rounds)) / _TIMES
            yield _row(f"layer: {name}", taken)
        taken = median(_batches(place, rounds * 4)) / BATCH
        yield _row("all from the decision to the commit, in a batch of 64", taken)


def _row(name: str, seconds: float) -> Row:
    return Row(what=name, measured=f"{seconds * 1e6:.1f} us")


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(_TIMES):
        work()
    return time.perf_counter() - began


def _layers(place: Place) -> dict[str, Callable[[], Any]]:
    state, envelope = _state(place), _envelope()
    body = parsing.parse(_BODY)
    command = ChangeSettings(patch=read_patch(dict(body)).tree, cause=Cause(type="patch"))
    event = decide(command, state, envelope)
    if event is None:
        raise RuntimeError("the change changes nothing")
    text = codec.encode(event)
    frontier = bytes(32) * envelope.sequence.bit_count()
    key, assistant = Key("bench", bytes(32)), AssistantKey(1, 1)
    shown = Assistant(organization_id=1, id=1, state=state)

    def seal() -> None:
        make_reference(_SECRET.plain, 1)
        seal_row(key, 1, 1, "1.0", _SECRET)

    return {
        "authentication of a known key": _authentication(place),
        "decode of the body": lambda: parsing.parse(_BODY),
        "validation": lambda: read_patch(dict(body)),
        "decision": lambda: decide(command, state, envelope),
        "evolution of the state": lambda: evolve(state, event),
        "encoding of the event": lambda: codec.encode(event),
        "hashing of the event": lambda: merkle.add(frontier, envelope.sequence - 1, text),
        "row of the view": lambda: current.row_of(assistant, state),
        "answer, masked and encoded": lambda: responses.encode(shown),
        "sealing, for each secret that is new": seal,
    }


def _state(place: Place) -> State:
    engine = place.engine()
    with engine.connect() as connection:
        state = current.load(connection, 1, 1)
    engine.dispose()
    if state is None:
        raise LookupError("the place is empty")
    return state


def _envelope() -> Envelope:
    return Envelope(
        organization_id=1,
        sequence=100_000,
        assistant_id=1,
        occurred_at=utc_now(),
        actor=CALLER.actor,
        reason="Callers said that answers wander",
        request_id="0" * 32,
    )


def _authentication(place: Place) -> Callable[[], None]:
    database = place.database()
    authenticator = Authenticator(database, place.vault(), utc_now)

    async def look_up() -> None:
        await authenticator.principal(place.keys.editor)
        await database.close()

    asyncio.run(look_up())

    def authenticate() -> None:
        """A coroutine that waits for nothing ends at its first step."""
        try:
            authenticator.principal(place.keys.editor).send(None)
        except StopIteration:
            return
        raise RuntimeError("the key was not known")

    return authenticate


def _batches(place: Place, times: int) -> Iterator[float]:
    """As the server's writer does it, batch after batch: seconds."""
    engine, safe, recalled = place.engine(), place.vault(), StateCache()
    for number in range(times + 1):
        began = time.perf_counter()
        with engine.begin() as connection:
            unit = UnitOfWork(connection, safe, utc_now, recalled)
            for assistant in range(1, BATCH + 1):
                places.change(unit, assistant, 3000 + number)
            unit.flush()
        unit.committed()
        if number:  # the first one compiles the statements
            yield time.perf_counter() - began
    engine.dispose()
