"""The media types that the API reads and writes."""

from __future__ import annotations

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PROBLEM = "application/problem+json"
EVENT_STREAM = "text/event-stream"
