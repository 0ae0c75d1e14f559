"""Over HTTP: reads and changes, beside the bare handler and beside the baseline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING

import httpx

from tests.benchmarks import bare, baseline, load, loading, places
from tests.benchmarks.load import Ask, Load, Row, at_least, at_most, ratio
from tests.databases import on_sqlite, text_of, variables
from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from tests.benchmarks.places import Place

ASSISTANTS = "/api/v1/assistants"
_JUST_CHANGED = 1000  # assistants
COUNT = 100  # assistants, whom the changes go to in turn
_JSON = {"content-type": "application/json"}
_PATCH = '{"llm_settings": {"max_tokens": %d}, "change_description": "Callers said so"}'
_STALENESS = "5s"  # of reads, where others write to the same database
_BASELINE_PATCH = '{"settings": {"llm_settings": {"max_tokens": %d}}}'
MANY = tuple(f"{ASSISTANTS}/{number}" for number in range(1, COUNT + 1))
Contender = tuple[str, Ask]  # a URL, and what is asked there


def alternate(
    contenders: Mapping[str, Contender], connections: int, seconds: float, rounds: int
) -> dict[str, list[Load]]:
    """What every contender gives, round after round; each is warmed up before the first."""
    taken: dict[str, list[Load]] = defaultdict(list)
    for url, ask in contenders.values():
        load.load(url, ask, connections, 1)
    for _ in range(rounds):
        for name, (url, ask) in contenders.items():
            taken[name].append(load.load(url, ask, connections, seconds))
    return taken


def _against(taken: dict[str, list[Load]], one: str, other: str) -> tuple[float, str]:
    """The ratio of two contenders' rates, and the rates themselves."""
    ones, others = ([one.rate for one in taken[name]] for name in (one, other))
    return ratio(ones, others), f"{median(ones):,.0f}/s against {median(others):,.0f}/s"


@contextmanager
def _bare(place: Place, body: bytes) -> Iterator[str]:
    file = place.folder / f"body-{len(body)}"
    file.write_bytes(body)
    with load.running("bare", place.url, str(file), **variables(place.url)) as url:
        yield url


def patch(paths: tuple[str, ...], place: Place) -> Ask:
    """A change of one number, with a reason."""
    return Ask(method="PATCH", paths=paths, headers=place.headers(**_JSON), body=_PATCH)


def _body(url: str, place: Place, path: str) -> bytes:
    answer = httpx.get(f"{url}{path}", headers=place.headers())
    answer.raise_for_status()
    return answer.content


def one_assistant(seconds: float, rounds: int) -> Iterator[Row]:
    """GET, 304 and PATCH against the bare handler and the baseline."""
    with places.fresh() as place, ExitStack() as stack:
        places.fill(place, [2] * COUNT)
        ours, _ = stack.enter_context(load.serving(place.folder, place.url))
        body = _body(ours, place, MANY[0])
        limit = stack.enter_context(_bare(place, body))
        usual = stack.enter_context(_baseline(place, body))
        reads = _reads(place, ours, limit, usual)
        if not on_sqlite():  # where no other process writes, no cached read is stale
            settings = {"BACKSTORY_READ_STALENESS": _STALENESS}
            stale, _ = stack.enter_context(load.serving(place.folder, place.url, **settings))
            reads["stale"] = stale, reads["get"][1]
        for connections in (32, 64):
            taken = alternate(reads, connections, seconds, rounds)
            yield from _rows_of_reads(taken, f"{len(body):,} bytes", connections)
        value, rates = _against(taken, "get", "usual get")
        goal = "" if on_sqlite() else ">= 10"
        yield _times("GET / baseline, 64 connections", value, goal, rates)
        writes = _writes(place, ours, limit, usual)
        for connections in (32, 64):
            taken = alternate(writes, connections, seconds, rounds)
            yield from _rows_of_writes(taken, connections)
        value, rates = _against(taken, "patch", "usual patch")
        yield _times("PATCH / baseline, 64 connections", value, "", rates)


def _times(what: str, value: float, goal: str, rates: str) -> Row:
    return Row(what=what, measured=f"{value:.1f}", goal=goal, beside=rates)


@contextmanager
def _baseline(place: Place, body: bytes) -> Iterator[str]:
    """On a database of its own, of the same engine."""
    file = place.folder / "settings.json"
    file.write_bytes(body)
    url = text_of(place.folder / "baseline.db", is_empty=not on_sqlite())
    with load.running("baseline", str(file), url) as served:
        yield served


_USUAL = tuple(f"/assistants/{number}" for number in range(1, COUNT + 1))
_USUAL_HEADERS = {"authorization": f"Bearer {baseline.TOKEN}"}


def _reads(place: Place, ours: str, limit: str, usual: str) -> dict[str, Contender]:
    headers = place.headers()
    tag = httpx.get(f"{ours}{MANY[0]}", headers=headers).headers["etag"]
    return {
        "bare": (limit, Ask(paths=(bare.PATH,), headers=headers)),
        "get": (ours, Ask(paths=MANY, headers=headers)),
        "304": (ours, Ask(paths=MANY[:1], headers=headers | {"if-none-match": tag})),
        "usual get": (usual, Ask(paths=_USUAL, headers=_USUAL_HEADERS)),
    }


def _rows_of_reads(taken: dict[str, list[Load]], size: str, connections: int) -> Iterator[Row]:
    at = f"{connections} connections"
    strict = None if on_sqlite() else 0.6  # a read of a server asks it each time
    for name, what, goal in (
        ("get", f"GET of {size}", strict or 0.95),
        ("304", "304", strict or 1.0),
        ("stale", f"GET of {size}, at most {_STALENESS} stale", 1.0),
    ):
        if name in taken:
            value, rates = _against(taken, name, "bare")
            yield at_least(f"{what} / bare handler, {at}", value, goal, rates)


def _writes(place: Place, ours: str, limit: str, usual: str) -> dict[str, Contender]:
    headers = place.headers(**_JSON)
    merging = Ask(method="PATCH", paths=(bare.PATH,), headers=headers, body=_PATCH)
    usual_headers = _USUAL_HEADERS | _JSON
    usually = Ask(method="PATCH", paths=_USUAL, headers=usual_headers, body=_BASELINE_PATCH)
    return {
        "bare": (limit, Ask(paths=(bare.PATH,), headers=place.headers())),
        "bare patch": (limit, merging),
        "patch": (ours, patch(MANY, place)),
        "usual patch": (usual, usually),
    }


def _rows_of_writes(taken: dict[str, list[Load]], connections: int) -> Iterator[Row]:
    at = f"{connections} connections"
    value, rates = _against(taken, "patch", "bare")
    goal = 0.5 if on_sqlite() else 0.4
    yield at_least(f"PATCH, durable / bare handler, {at}", value, goal, rates)
    value, rates = _against(taken, "patch", "bare patch")
    goal = (0.45 if connections == 32 else 0.5) if on_sqlite() else 0.3
    yield at_least(f"PATCH, durable / bare PATCH handler, {at}", value, goal, rates)
    ours = taken["patch"]
    tail = median(one.p99 / one.median for one in ours)
    p99, p50 = median(one.p99 for one in ours), median(one.median for one in ours)
    yield at_most(f"PATCH p99 / p50, {at}", tail, 4, f"{p99:.1f} ms against {p50:.1f} ms")


def just_changed(seconds: float, rounds: int) -> Iterator[Row]:
    """GET of a thousand assistants right after each was changed, against the same once more."""
    with places.fresh() as place:
        places.fill(place, [2] * _JUST_CHANGED)
        paths = tuple(f"{ASSISTANTS}/{number}" for number in range(1, _JUST_CHANGED + 1))
        ask = Ask(paths=paths, headers=place.headers())
        cold: list[Load] = []
        warm: list[Load] = []
        with (
            load.serving(place.folder, place.url) as (ours, _),
            httpx.Client(base_url=ours, headers=place.headers(), verify=NO_TLS) as editor,
        ):
            load.load(ours, ask, 32, seconds)
            for number in range(rounds):
                for path in paths:
                    body = {"llm_settings": {"max_tokens": 100 + number}}
                    editor.patch(path, json=body).raise_for_status()
                cold.append(load.load(ours, ask, 32, 1))
                warm.append(load.load(ours, ask, 32, 1))
        value, rates = _against({"cold": cold, "warm": warm}, "cold", "warm")
        what = f"GET of {_JUST_CHANGED:,} assistants, first second after each was changed / later"
        yield at_least(what, value, 0.8, rates)


def history(seconds: float, rounds: int) -> Iterator[Row]:
    """A page of the settings history of a short stream and of a long one."""
    lengths = (100, 100_000)
    with places.fresh() as place:
        loading.load(place, lengths)
        with load.serving(place.folder, place.url) as (ours, _):
            contenders = {
                str(length): (
                    ours,
                    Ask(
                        paths=(f"{ASSISTANTS}/{number}/settings-history?limit=50",),
                        headers=place.headers(),
                    ),
                )
                for number, length in enumerate(lengths, 1)
            }
            taken = alternate(contenders, 32, seconds, rounds)
    value, rates = _against(taken, *map(str, lengths))
    what = "history page of 50, time at {1:,} versions / at {0:,}".format(*lengths)
    yield at_most(what, value, 1.2, rates)


def many_assistants(seconds: float, rounds: int) -> Iterator[Row]:
    """The list of a hundred against the same bytes from the bare handler."""
    with places.fresh() as place, ExitStack() as stack:
        places.fill(place, [2] * COUNT)
        ours, _ = stack.enter_context(load.serving(place.folder, place.url))
        path = f"{ASSISTANTS}?limit={COUNT}"
        body = _body(ours, place, path)
        limit = stack.enter_context(_bare(place, body))
        contenders = {
            "bare": (limit, Ask(paths=(bare.PATH,), headers=place.headers())),
            "list": (ours, Ask(paths=(path,), headers=place.headers())),
        }
        taken = alternate(contenders, 32, seconds, rounds)
        value, rates = _against(taken, "list", "bare")
        yield at_least(f"list of {COUNT}, {len(body):,} bytes / bare handler", value, 0.5, rates)
