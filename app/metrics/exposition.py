"""The metrics over HTTP, in the formats that Prometheus reads.

Imported only where they are served: prometheus_client is an extra, and takes a start a tenth of a
second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from app.metrics import snapshots
from app.metrics.catalog import METRICS
from app.metrics.numbers import Counter, Histogram, Metric
from app.metrics.snapshots import Merged, Snapshot


def serve(host: str, port: int, read: Callable[[], list[Snapshot]]) -> int:
    """Serve what ``read`` gives, in a thread of its own, and return the port.

    Raises ``OSError`` where the address is taken or not this machine's.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(read))
    server, _ = start_http_server(port, host, registry)
    return int(server.server_port)


class _Numbers(Collector):
    def __init__(self, read: Callable[[], list[Snapshot]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        """All metrics, of one reading."""
        read = self._read()
        for metric in METRICS:
            yield _family(metric, snapshots.merge(metric, read))


def _family(metric: Metric, merged: Merged) -> Family:
    if isinstance(metric, Histogram):
        return _histogram(metric, merged)
    kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
    family = kind(metric.name, metric.text, labels=metric.labels)
    for labels, (value,) in merged.items():
        family.add_metric(labels, value)
    return family


def _histogram(metric: Histogram, merged: Merged) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
    for labels, (*counts, total) in merged.items():
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family
