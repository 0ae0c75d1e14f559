"""Metrics as Prometheus would scrape them: read by the parser of its own client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tests.databases import text_of
from tests.end_to_end.processes import Process, started

Key = tuple[str, frozenset[tuple[str, str]]]
BIND = {"BACKSTORY_METRICS_BIND": "127.0.0.1:0", "BACKSTORY_LOG_LEVEL": "info"}
_SECONDS = 60


class Scrape(Struct, frozen=True):
    """The samples of one scrape by name and labels, and the types of the metrics."""

    samples: dict[Key, float]
    types: dict[str, str]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all series of a name which have these labels."""
        wanted = set(labels.items())
        return sum(v for (n, found), v in self.samples.items() if n == name and wanted <= found)

    def growing(self) -> dict[Key, float]:
        """What may never fall: counters, and the parts of histograms."""
        return {key: v for key, v in self.samples.items() if not self._is_gauge(key[0])}

    def _is_gauge(self, name: str) -> bool:
        return self.types.get(name) == "gauge"


class Scraped(Struct, frozen=True):
    """A server whose metrics are served: its process, its URL, and that of its metrics."""

    process: Process
    url: str
    metrics: str

    def scrape(self) -> Scrape:
        """The metrics now."""
        answer = httpx.get(f"{self.metrics}/metrics")
        assert answer.status_code == 200
        families = list(text_string_to_metric_families(answer.text))
        samples = [sample for family in families for sample in family.samples]
        keyed = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
        assert len(keyed) == len(samples), "a series came twice"
        return Scrape(keyed, {family.name: family.type for family in families})

    def wait_for(self, value: float, name: str, **labels: str) -> Scrape:
        """The first scrape in which a metric has this value: workers publish once a second."""
        deadline = time.monotonic() + _SECONDS
        while (scrape := self.scrape()).sum(name, **labels) != value:
            assert time.monotonic() < deadline, (scrape.sum(name, **labels), value)
        return scrape


@contextmanager
def scraped(
    database: Path, *arguments: str, preamble: str = "", **settings: str
) -> Iterator[Scraped]:
    """Serve a database, and its metrics, on free ports."""
    command = ("serve", "--port", "0", "--database", text_of(database), *arguments)
    with started(database.parent, *command, preamble=preamble, **BIND | settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        (line,) = logged(database.parent, "metrics_served")
        yield Scraped(process, url, f"http://{line['host']}:{line['port']}")


def logged(folder: Path, event: str) -> list[dict[str, Any]]:
    """The log's lines of one event."""
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line]
    return [line for line in lines if line.get("event") == event]
