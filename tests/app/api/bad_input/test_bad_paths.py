"""An id that is none, and a path of strange parts, find nothing and change nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.app.api.bad_input.answers import places
from tests.app.route_table import OPERATIONS, OWNED, Operation
from tests.conftest import ASSISTANTS

_NUMBERS = OWNED - {"call_id"}
_WITH_AN_ID = [one for one in OPERATIONS if _NUMBERS.intersection(one.parameters)]
_NO_ID = (
    "x", "1.5", "0x1", "1_0", "%201", "1%20", "+1", "NaN", "true", "null", "%00", "%FF", "1%00",
    "1%0A", "%D9%A1", "%F0%9F%98%80", "1;x", "1,2", "%2e%2e", "asst_1",
)  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_AN_ID, ids=str)
def test_a_number_that_is_no_id_is_not_found(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for name in operation.parameters:
        below = "-9" if name == "version" else "-1"  # -1 is the version before the latest
        for number in ("0", below, "2147483648", "9007199254740993", "9" * 400):
            answer = operation.send(admin, ids | {name: number})
            assert answer.status_code == 404, number
            assert number[:100] in answer.json()["detail"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_AN_ID, ids=str)
def test_what_is_no_number_is_no_id(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for text in _NO_ID:
        for name in operation.parameters:
            answer = operation.send(admin, ids | {name: text})
            assert places(answer) == [["path", name]], text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_AN_ID, ids=str)
def test_a_strange_path_is_a_refusal(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for text in ("9" * 5000, "1e400", "a" * 20_000):
        for name in operation.parameters:
            answer = operation.send(admin, ids | {name: text})
            assert answer.status_code in (404, 422)
            assert answer.json()["status"] == answer.status_code


@pytest.mark.usefixtures("unchanged")
def test_an_id_has_one_notation(admin: httpx.Client, path: str) -> None:
    for text in ("1e0", "10e-1", "0.1e1"):
        place = f"{ASSISTANTS}/{text}"
        assert places(admin.get(place)) == [["path", "assistant_id"]], text
        history = f"{path}/settings-history/{text}"
        assert places(admin.get(history)) == [["path", "version_id"]], text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "place",
    ["%2F", "%2f1", "..%2f1", "%2e%2e/1", "1/..", "//1", "1//", "1;x/", "1/settings-history//"],
)
def test_a_path_of_other_segments_is_read_or_refused(admin: httpx.Client, place: str) -> None:
    assert admin.get(f"{ASSISTANTS}/{place}").status_code in (200, 404, 405, 422)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "number", ["%00", "%FF", "a%20b", "%0D%0Ax:y", "%F0%9F%98%80", "x" * 20_000, "{}"]
)
def test_a_strange_phone_number_is_not_found(admin: httpx.Client, number: str) -> None:
    answer = admin.get(f"{ASSISTANTS}/by-phone/{number}")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("Assistant assigned to phone number ")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("call", ["%00", "%FF", "a%20b", "%2e%2e", "-", "x" * 20_000, "{}"])
@pytest.mark.parametrize("place", ["", "/settings"])
def test_a_strange_call_is_not_found(admin: httpx.Client, call: str, place: str) -> None:
    answer = admin.get(f"/api/v1/calls/{call}{place}")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("Call ")
