"""Every metric of the service.

Names follow Prometheus' conventions. No label has values that clients or data choose: no path, no
id and no name, because each value is a series that Prometheus keeps for as long as its data.
Organizations are no label either: there may be 100,000 of them, times routes, times buckets. The
log lines of requests name theirs.
"""

from __future__ import annotations

from functools import cache

from app.metrics.numbers import Counter, Distribution, Gauge, Histogram, Metric, Number

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
UNROUTED = "unrouted"  # the route of requests that were answered before one was found

# -- requests

REQUESTS = Counter(
    "backstory_requests_total",
    "Requests answered, by the template of their route.",
    ("route", "method", "status"),
)
REQUEST_SECONDS = Histogram(
    "backstory_request_duration_seconds",
    "From the head of a request to the end of its answer.",
    _SECONDS,
    ("route", "method"),
)
REFUSED_CHANGES = Counter(
    "backstory_refused_changes_total",
    "Requests to change something that were answered with a problem, by its type.",
    ("reason",),
)
RATE_LIMITED = Counter(
    "backstory_rate_limited_requests_total",
    "Requests answered with 429 because a limit was exceeded.",
    ("limit",),
)
CACHE_HITS = Counter(
    "backstory_cache_hits_total", "Reads answered from a cache of this process.", ("cache",)
)
CACHE_MISSES = Counter(
    "backstory_cache_misses_total", "Reads that had to ask the database.", ("cache",)
)

# -- writes

EVENTS = Counter("backstory_events_recorded_total", "Events committed, by their type.", ("type",))
RESOLVES = Counter(
    "backstory_calls_resolved_total",
    "Calls that were told what to run, by the reason.",
    ("reason",),
)
QUEUE_LENGTH = Gauge("backstory_write_queue_length", "Changes that wait to be written.", merge=sum)
QUEUE_WAIT = Histogram(
    "backstory_write_queue_wait_seconds",
    "From the arrival of a change to the transaction that wrote it.",
    _SECONDS,
)
BATCH_SIZE = Histogram(
    "backstory_write_batch_size", "Changes that shared one transaction.", _COUNTS
)
TRANSACTION_SECONDS = Histogram(
    "backstory_write_transaction_duration_seconds",
    "A whole write transaction: locks, decisions, statements and the commit.",
    _SECONDS,
)
COMMIT_SECONDS = Histogram(
    "backstory_commit_duration_seconds", "The commit alone, until it is durable.", _SECONDS
)
BUSY = Counter(
    "backstory_write_conflicts_total",
    "Write transactions that found the database locked or unavailable.",
)

# -- storage

WRITING_SUSPENDED = Gauge(
    "backstory_writing_suspended", "1 while the disk takes no changes, otherwise 0.", merge=max
)
FREE_BYTES = Gauge(
    "backstory_disk_free_bytes", "On SQLite: free bytes of the database's disk.", merge=max
)
WAL_BYTES = Gauge(
    "backstory_wal_size_bytes",
    "On SQLite: bytes of the write-ahead log's file, at its last checkpoint.",
    merge=max,
)
WAL_CHECKPOINT_FAILURES = Counter(
    "backstory_wal_checkpoint_failures_total", "On SQLite: checkpoints of that log that failed."
)
READS_RUNNING = Gauge(
    "backstory_reads_running", "Reads that hold a thread of a pool.", ("pool",), merge=sum
)
READS_WAITING = Gauge(
    "backstory_reads_waiting", "Reads that wait for a thread of a pool.", ("pool",), merge=sum
)

# -- background

AUDIT_CHECKPOINT = Gauge(
    "backstory_audit_checkpoint_timestamp_seconds",
    "When the last checkpoint of an audit log was recorded since the start, in Unix time.",
    merge=max,
)
TASK_FAILURES = Counter(
    "backstory_background_task_failures_total",
    "Runs of a background task that failed; it is tried again.",
    ("task",),
)
PROCESSES = Gauge("backstory_processes", "Processes that serve.", merge=sum)
PROCESSES.set(1)

METRICS: tuple[Metric, ...] = tuple(
    metric for metric in list(globals().values()) if isinstance(metric, Metric)
)


def served(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request that was answered."""
    requests, durations = _series(route, method, status)
    requests.value += 1
    durations.observe(seconds)


@cache  # as many as there are routes, methods and statuses
def _series(route: str, method: str, status: int) -> tuple[Number, Distribution]:
    known = method if method in _METHODS else "other"
    return REQUESTS.of(route, known, str(status)), REQUEST_SECONDS.of(route, known)
