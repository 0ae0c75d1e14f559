"""The numbers of a process at one moment, and those of several processes as one.

Each worker process writes its numbers to a file of its own, again and again. What serves them adds
all files up: those of workers that have died too, so that no counter ever falls.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from uuid import uuid4

import msgspec
from msgspec import Struct

from app.metrics.catalog import METRICS
from app.metrics.numbers import Gauge, Labels, Metric, Series

FOLDER = "_BACKSTORY_METRICS_FOLDER"  # how a worker hears of the folder; no setting of operators
PUBLISH_SECONDS = 1.0
_FRESH_SECONDS = 5.0  # after which a process that wrote nothing more has no gauges
_END = ".metrics"

Merged = dict[Labels, list[float]]


class Snapshot(Struct, frozen=True, kw_only=True):
    """The series of each metric by its name; ``at`` is by ``time.monotonic``, which all share."""

    at: float
    series: dict[str, Series]


def snapshot() -> Snapshot:
    """The numbers of this process now."""
    return Snapshot(
        at=time.monotonic(), series={metric.name: metric.series() for metric in METRICS}
    )


class Publisher:
    """Writes the numbers of this process to a file of its own."""

    def __init__(self, folder: str) -> None:
        self._file = Path(folder, f"{uuid4().hex}{_END}")

    async def publish(self) -> None:
        """Replace the file. On the event loop: it is small, and the disk need not have it."""
        part = self._file.with_suffix(".part")
        part.write_bytes(msgspec.msgpack.encode(snapshot()))
        part.replace(self._file)


def published(folder: str) -> list[Snapshot]:
    """The last numbers of each process that ever wrote to the folder."""
    files = sorted(Path(folder).glob(f"*{_END}"))
    return [msgspec.msgpack.decode(file.read_bytes(), type=Snapshot) for file in files]


def merge(metric: Metric, snapshots: list[Snapshot]) -> Merged:
    """The numbers of a metric for all processes; a gauge counts only while its process lives."""
    found: defaultdict[Labels, list[list[float]]] = defaultdict(list)
    oldest = time.monotonic() - _FRESH_SECONDS
    for one in snapshots:
        if one.at >= oldest or not isinstance(metric, Gauge):
            for labels, numbers in one.series[metric.name]:
                found[labels].append(numbers)
    join = metric.merge if isinstance(metric, Gauge) else sum
    return {
        labels: [join(column) for column in zip(*rows, strict=True)]
        for labels, rows in found.items()
    }
