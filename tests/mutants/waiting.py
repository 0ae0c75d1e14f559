"""A process that waits where much is imported already, and forks a child for each run of tests.

With tests as arguments it has collected them, and a child changes functions in memory; without, it
has imported the libraries, and a child imports our modules as they are on the disk.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

# No file of compiled code can be older than a mutant, and none is made for asserts.
_OPTIONS = ["-x", "-q", "-s", "--assert=plain", "--hypothesis-seed=0", "--basetemp=files"]
NOT_IN_A_FUNCTION = 99  # the exit code of a run that would need to import the module again
_PLUGINS = ["-p", "no:cacheprovider", "-p", "no:cov"]
_LIBRARIES = (
    "alembic.command",
    "email_validator",
    "httpx",
    "hypothesis",
    "jsonpatch",
    "litestar.openapi",
    "schemathesis",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn",
)


class _Collected:
    """Where the tests would run, wait instead, and run them in each child."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._streams = requests, answers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        request = _child(*self._streams)
        if request["module"]:
            module = sys.modules[request["module"]]
            if not replace_functions(module, request["source"]):
                os._exit(NOT_IN_A_FUNCTION)


def _child(requests: IO[str], answers: IO[str]) -> dict[str, Any]:
    """The next request, in a child of its own; the process ends when there is none."""
    for line in requests:
        request: dict[str, Any] = json.loads(line)
        if not (child := os.fork()):
            _be_alone(request["seconds"])
            return request
        _, status = os.waitpid(child, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it started
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    os._exit(0)


def _be_alone(seconds: int) -> None:
    os.setsid()
    signal.alarm(seconds)  # the system ends it then, whatever it does
    output = os.open("output", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)


def replace_functions(module: types.ModuleType, source: str) -> bool:
    """Give each function of a module its code in another source; whether that is all it takes.

    Not if what runs on import differs, or no function that there is.
    """
    file = Path(str(module.__file__))
    old, new = (
        compile(text, file, "exec", dont_inherit=True) for text in (file.read_text("utf-8"), source)
    )
    if _form(old, whole=False) != _form(new, whole=False):
        return False
    # By the code itself: functions may have the same name, as all lambdas do.
    changed = {
        code: other
        for code, other in _pairs(old, new)
        if _form(code, whole=True) != _form(other, whole=True)
    }
    functions = [
        function
        for function in gc.get_objects()
        if isinstance(function, types.FunctionType)
        and function.__globals__ is vars(module)
        and function.__code__ in changed
        and function.__code__.co_freevars == changed[function.__code__].co_freevars
    ]
    for function in functions:
        function.__code__ = changed[function.__code__]
    return bool(functions)


def _form(code: types.CodeType, *, whole: bool) -> object:
    """What code does, wherever it stands; without its functions, or ``whole``."""
    inner = [
        _form(constant, whole=whole)
        for constant in _inner(code)
        if whole or not constant.co_flags & inspect.CO_OPTIMIZED  # a class
    ]
    plain = [repr(c) for c in code.co_consts if not isinstance(c, types.CodeType)]
    return code.co_code, code.co_names, code.co_varnames, code.co_exceptiontable, plain, inner


def _pairs(
    old: types.CodeType, new: types.CodeType
) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    """The code of each function in two sources, as far as both have the same functions."""
    one, other = _inner(old), _inner(new)
    if len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield pair
            yield from _pairs(*pair)


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def _import_libraries() -> None:
    for name in _LIBRARIES:
        importlib.import_module(name)


def main() -> None:
    """Answer each line of standard input with the exit code of a run."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    tests, plugins = sys.argv[1:], [_Collected(requests, answers)]
    if not tests:
        _import_libraries()
        tests, plugins = _child(requests, answers)["tests"], []
    else:
        os.dup2(2, 1)
    code = pytest.main([*_OPTIONS, *_PLUGINS, *tests], plugins)
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
