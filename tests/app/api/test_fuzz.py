"""Generated requests against the described operations: what is described is what happens.

The default run takes a few examples of each operation, always the same ones. The long form
takes a thousand of each, valid and invalid ones; another seed gives other requests:

    pytest tests/app/api/test_fuzz.py -m long
    pytest tests/app/api/test_fuzz.py -m long --hypothesis-seed=7
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.app.route_table import CHANGE_SETS, DESCRIBED, KEYS, STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Server

ASSISTANTS = "/api/v1/assistants"
POLICY = "/api/v1/policy"
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_FEW, _MANY = 5, 1000
# Why a request is refused that fits its description; all else, the description must say.
_NOT_BY_ITS_FORM = {
    "beyond_log": "how long the log is",
    "url": "which hosts are public",
    "idempotency_key_reused": "what was asked before",
    "missing": "a member that another one needs, such as base_version",
    "no_dry_run": "a wish that this request has no way to grant",
    "no_secret": "what is stored",
    "no_such_path": "which settings there are",
    "cannot_be_secret": "which settings there are",
    "never_secret": "which settings there are",
    "secret_by_definition": "which settings there are",
    "not_undoable": "what is stored",
    "not_accepted": "what is stored",
    "secret_moved": "where a secret would go",
    "phone_number_of_no_country": "which numbers there are",
    "one_of": "members that exclude each other",
    "extra_forbidden": "Prefer: handling=strict",
    "too_many": "how many are stored",
}
_NOT_SAYABLE = {
    "a string holds NUL or a lone surrogate": "it is said of all JSON, in words",
    "an integer is beyond 2^53": "in a member that nobody knows; else the description says it",
    "nested deeper than 32 levels": "it is said of all JSON, in words",
    "Input should be a cursor that this endpoint gave": "it is opaque",
    "Accept-Datetime: It should be one HTTP date, such as Sun, 01 Mar 2026 09:00:00 GMT": (
        "how many days a month has"
    ),
    "Input should not be given beside version": "two parameters exclude each other",
    "Input is for CSV alone": "as above",
    "Input should have either 'assistant_id' or 'phone_number'": "as above, of two members",
    "Input should not be blank": "names: by the kinds of characters",
    "Input should hold no line breaks, no control characters and no invisible ones": "as above",
    "A scope is given with 'scopes' when a key is made, or never": "what a key was made with",
    "The key's role is viewer, and permissions only narrow it": "a member that another one bounds",
    "The key's role is editor, and permissions only narrow it": "as above",
    "Every key may read; revoke the key instead": "in words",
    "A key that may not write cannot be an admin's": "a member that another one bounds",
    "Input should be printable, without '/', and not blank": "labels: as above",
}


def _to_fuzz() -> Iterator[tuple[GenerationMode, str, str]]:
    """Each operation with what fits its description, and with what does not where anything can."""
    for path, verbs in DESCRIBED.items():
        for verb, described in verbs.items():
            yield GenerationMode.POSITIVE, verb, path
            if any(described.get(part) for part in ("parameters", "requestBody", "security")):
                yield GenerationMode.NEGATIVE, verb, path


_TO_FUZZ = list(_to_fuzz())


class Tenant:
    """An organization that generated requests may do anything to, but for its own key."""

    def __init__(self, server: Server) -> None:
        organization = server.organization()
        self.url = server.url
        self.session = requests.Session()
        self.session.headers["authorization"] = f"Bearer {organization.admin}"
        with server.client(organization.admin) as admin:
            self.own_key = _key_of(admin)
            made = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
            self.assistant_id = made["id"]
            for n in range(3):
                admin.patch(f"{ASSISTANTS}/{made['id']}", json={"description": f"{n}"})
            change_request = {"assistant_ids": [made["id"]], "patch": {"tts_limit": 7}}
            self.change_set_id = admin.post(CHANGE_SETS, json=change_request).json()[
                "change_set_id"
            ]

    def have_it_back(self) -> None:
        """Undo what hinders: the assistant was deleted, or the policy is strict."""
        place = f"{self.url}{ASSISTANTS}/{self.assistant_id}/restore"
        free: dict[str, Any] = {"require_condition": False, "require_reason": False}
        free |= {"require_reason_for": [], "admin_paths": []}
        self.session.put(f"{self.url}{POLICY}", json=free, timeout=30)
        self.session.post(place, timeout=30)

    def holds_its_key(self) -> bool:
        return self.session.get(f"{self.url}{ASSISTANTS}/count", timeout=30).ok


def _key_of(admin: httpx.Client) -> int:
    (own,) = [key["id"] for key in admin.get(KEYS).json() if key["role"] == "admin"]
    return int(own)


@pytest.fixture(scope="module")
def description(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/schema/openapi.json")


@pytest.fixture(scope="module")
def tenant(server: Server) -> Iterator[Tenant]:
    made = Tenant(server)
    yield made
    made.session.close()


def is_own_key(value: Any, own: int) -> bool:
    """Whether a key id, in whatever notation, is that of the key that calls."""
    with suppress(ValueError, TypeError, OverflowError):
        return int(float(value)) == own
    return False


def undescribed(answer: Any) -> list[Any]:
    """The rules that refused a request and that its description should have told."""
    if answer.status_code not in (400, 422):
        return []
    detail = answer.json()["detail"]
    return [
        error
        for error in (detail if isinstance(detail, list) else [{"type": "", "msg": detail}])
        if error["type"] not in _NOT_BY_ITS_FORM and error["msg"] not in _NOT_SAYABLE
    ]


def fuzz(
    tenant: Tenant, description: Any, verb: str, path: str, mode: GenerationMode, examples: int
) -> None:
    """Generated requests to one operation, each answer held against its description."""
    operation = description[path][verb.upper()]
    tenant.have_it_back()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=examples == _FEW,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
    def each(case: Any, existing: bool) -> None:  # noqa: FBT001  # hypothesis gives it
        parameters = case.path_parameters or {}
        if existing and "assistant_id" in parameters:
            parameters["assistant_id"] = tenant.assistant_id
        there = {"version_id": 3, "version": "-1", "change_set_id": tenant.change_set_id}
        if existing:
            parameters |= {name: there[name] for name in there if name in parameters}
        if existing and path.endswith("/diff") and "from" in (case.query or {}):
            case.query |= {"from": "1", "to": "latest"}
        if path == STREAM:  # it would have no end
            case.query = (case.query or {}) | {"follow": "false"}
        assume(not is_own_key(parameters.get("key_id"), tenant.own_key))
        answer = case.call(base_url=tenant.url, session=tenant.session)
        case.validate_response(answer, checks=_CHECKS)
        assert mode == GenerationMode.NEGATIVE or not undescribed(answer)

    each()
    assert tenant.holds_its_key()


@pytest.mark.parametrize(("mode", "verb", "path"), _TO_FUZZ)
def test_every_operation_answers_as_it_is_described(
    tenant: Tenant, description: Any, mode: GenerationMode, verb: str, path: str
) -> None:
    fuzz(tenant, description, verb, path, mode, _FEW)


@pytest.mark.long
@pytest.mark.parametrize(("mode", "verb", "path"), _TO_FUZZ)
def test_every_operation_answers_as_it_is_described_a_thousand_times(
    tenant: Tenant, description: Any, mode: GenerationMode, verb: str, path: str
) -> None:
    """Run it with ``pytest tests/app/api/test_fuzz.py -m long``."""
    fuzz(tenant, description, verb, path, mode, _MANY)


def test_a_rule_that_the_description_does_not_tell_would_be_found(
    tenant: Tenant, server: Server
) -> None:
    with server.client(None) as nobody:
        document = nobody.get("/schema/openapi.json").json()
    parameters = document["paths"][f"{ASSISTANTS}/{{assistant_id}}/blame"]["get"]["parameters"]
    (version,) = [one for one in parameters if one["name"] == "version"]
    assert version["schema"].pop("pattern")
    described = schemathesis.openapi.from_dict(document)
    with pytest.raises(AssertionError, match="Input should be a version"):
        fuzz(
            tenant, described, "get", f"{ASSISTANTS}/{{assistant_id}}/blame",
            GenerationMode.POSITIVE, 100,
        )  # fmt: skip


def test_an_answer_unlike_its_description_would_be_found(tenant: Tenant, server: Server) -> None:
    with server.client(None) as nobody:
        document = nobody.get("/schema/openapi.json").json()
    answers = document["paths"][f"{ASSISTANTS}/count"]["get"]["responses"]
    text = {"type": "object", "properties": {"count": {"type": "string"}}}
    for untrue in (
        {"200": {"description": "", "content": {"application/json": {"schema": text}}}},
        {"200": {"description": "", "content": {"text/csv": {"schema": {"type": "string"}}}}},
        {"204": {"description": ""}},
    ):
        answers.clear()
        answers.update(untrue)
        described = schemathesis.openapi.from_dict(document)
        with pytest.raises(BaseExceptionGroup):
            fuzz(tenant, described, "get", f"{ASSISTANTS}/count", GenerationMode.POSITIVE, _FEW)
