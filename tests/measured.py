"""Which tests coverage measures, with ``pytest --cov``: those that reach most of the code.

Coverage doubles the time of what it measures. What is left out reaches little more: the further
cases of a test, what hypothesis makes, and most of ``end_to_end``, with its processes. The measured
tests run first, and then nothing is measured any more: a thread that ran through a pause, as that
of the shared server, would stay unmeasured after it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator, Iterable
from functools import cached_property
from itertools import groupby
from typing import Any

import coverage
import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

import app
import events
import projections

_FOLDERS = ("tests/app/", "tests/events/", "tests/projections/")
# The command, and what only it calls.
_COMMANDS = tuple(
    f"tests/end_to_end/{name}"
    for name in (
        "test_cli",
        "test_configuration",
        "test_copying",
        "test_demo",
        "test_doctor",
        "test_backup.py::test_a_forged",
        "test_backup.py::test_a_restoration",
        "test_backup.py::test_check_names",
        "test_backup.py::test_clients_go_on",
        "test_backup.py::test_half_a_copy",
        "test_backup.py::test_keys_stay_out",
        "test_backup.py::test_nothing_is",
        "test_backup.py::test_without_pg_dump",
        "test_rotation",
        "audit/test_archive",
        "audit/test_audit_flags",
        "audit/test_audit_key",
        "audit/test_audit_verify",
        "audit/test_export_command",
    )
)
# Long ones, of code that others reach.
_LONG = (
    "tests/app/api/test_fuzz",
    "tests/app/assistants/test_time_travel_over_http",
    "tests/app/audit/test_export_clients",
    "tests/app/audit/test_proofs",
    "tests/app/audit/test_verify_flipped_bytes",
    "tests/app/test_buckets",
    "tests/app/test_cache_memory",
    "tests/events/bodies/test_json_patch_limits",
    "tests/events/secrets/test_moved_over_time",
    "tests/events/test_decider.py::test_settings_hold_no_more_than_50000_values",
    "tests/projections/test_time_travel",
)
_NO_MODULES = ("app.__main__", "app.storage.migrations.")  # they run something when imported


class Measuring:
    """The hooks of a run that measures."""

    def __init__(self) -> None:
        self._coverage: coverage.Coverage | None = None
        self._measured: set[pytest.Item] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        """Import the modules of the code measured, then collect the tests unmeasured."""
        for package in (app, events, projections):
            _import_all(package)
        self._coverage = coverage.Coverage.current()
        self._stop()
        return (yield)

    @pytest.hookimpl(wrapper=True)  # after every other has taken out what does not run
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        yield
        self._measured = {item for item in first_cases(items) if _reaches_more(item)}
        items.sort(key=lambda item: (item not in self._measured, _reaches_more(item)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Measure on, in the process that runs the tests."""
        if self._coverage is not None and self._measured:
            self._coverage.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Measure no more, once the first test comes that is not to be measured."""
        if item not in self._measured:
            self._stop()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> _InOrder:
        """Hand out the tests."""
        return _InOrder(config, log)

    def _stop(self) -> None:
        if self._coverage is not None:
            self._coverage.stop()


class _InOrder(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """As ``--dist loadfile``, but a file's measured tests and its others go out on their own."""

    def _split_scope(self, nodeid: str) -> str:
        return self._scopes[nodeid]

    @cached_property
    def _scopes(self) -> dict[str, str]:
        files = groupby(self.collection or (), lambda nodeid: nodeid.partition("::")[0])
        return {
            nodeid: f"{number} {file}"
            for number, (file, nodeids) in enumerate(files)
            for nodeid in nodeids
        }


def first_cases(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Of each test its first case, but nothing that hypothesis makes."""
    first: dict[str, pytest.Item] = {}
    for item in items:
        if not hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            first.setdefault(item.nodeid.partition("[")[0], item)
    return set(first.values())


def _reaches_more(item: pytest.Item) -> bool:
    return item.nodeid.startswith(_FOLDERS + _COMMANDS) and not item.nodeid.startswith(_LONG)


def _import_all(package: Any) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.startswith(_NO_MODULES):
            importlib.import_module(module.name)
