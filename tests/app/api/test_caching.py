"""No cache gives one caller what is another's, and no tag fits what it was not made for."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.middleware import cache_control
from app.api.vary import note_varying
from app.assistants.preconditions import tag_of, version_in
from projections.current import Stamp
from tests.app.api.test_statements import make_ids
from tests.app.assistants.conditions.writes import (
    POLICY,
    READS,
    WRITES,
    Send,
    if_match,
    if_none_match,
    make,
    problem,
)
from tests.app.route_table import FILLABLE, KEYS, OPERATIONS, OWNED, PAGES, Operation
from tests.conftest import ASSISTANTS, version_of
from tests.console import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

_KEY = re.compile(r"bks_[A-Za-z0-9]{36}")
_HEADERS_THAT_CHOOSE = {
    "Accept": "application/json-patch+json, text/html",
    "Accept-Datetime": "Sat, 01 Jan 2000 00:00:00 GMT",
    "Accept-Encoding": "zstd",
    "Prefer": "handling=strict, dry-run",
    "Cookie": "backstory_session=x",
    "User-Agent": "another",
    "Accept-Language": "de",
}
_PLAIN = dict.fromkeys(("Accept", "Accept-Encoding", "User-Agent"), "")


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: answers go out as the routes made them."""
    monkeypatch.setattr(cache_control, "controlled", lambda _, headers: list(headers))


def directives(answer: httpx.Response, name: str) -> set[str]:
    return {one.strip().lower() for one in answer.headers.get(name, "").split(",")} - {""}


def faults(answer: httpx.Response) -> list[str]:
    """How an answer breaks the law."""
    control, varies = directives(answer, "cache-control"), directives(answer, "vary")
    found = []
    if control.isdisjoint(("private", "no-store")) or "public" in control:
        found.append("a shared cache may keep it")
    if not {"no-cache", "no-store"} & control:
        found.append("it may be used without asking")
    if not {"authorization", "cookie"} <= varies:
        found.append("another caller may get it")
    if (_KEY.search(answer.text) or "set-cookie" in answer.headers) and "no-store" not in control:
        found.append("a key may be kept")
    return found


def answers_to(
    server: Server, tenant: Organization, boss: httpx.Client, operation: Operation
) -> Iterator[httpx.Response]:
    """Every kind of answer that an operation has."""
    ids = make_ids(boss)
    bad = dict.fromkeys(("limit", "version", "as_of", "format", "active_only", "after"), "x")
    with server.client(None) as nobody:
        yield operation.send(nobody, ids)  # 401, where a key is needed
    yield operation.send(boss, ids, headers={"authorization": f"Bearer {tenant.viewer}"})  # 403
    yield operation.send(boss, ids | dict.fromkeys(OWNED, 99_999))  # 404
    yield operation.send(boss, ids | dict.fromkeys(OWNED, "x"))  # 422
    path = operation.path.format(**ids)
    yield boss.request(operation.verb, path, params=bad, content=b"{", headers={"prefer": "x"})
    yield boss.request("HEAD", path)
    yield boss.request("TRACE", path)  # 405
    yield boss.request(operation.verb, f"{path}/", params=operation.query)  # 404
    operation.prepare(boss, ids)
    once = {"idempotency-key": f"{operation}"}
    for _ in range(2):  # the second time it is a replay
        granted = operation.send(boss, ids, headers=once)
        yield granted
    if "etag" in granted.headers and operation.verb == "GET":
        unchanged = operation.send(boss, ids, headers=if_none_match(granted.headers["etag"]))
        assert unchanged.status_code == 304
        yield unchanged


# -- who may keep an answer


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_answer_is_its_callers_alone(
    server: Server, tenant: Organization, boss: httpx.Client, operation: Operation
) -> None:
    statuses = set()
    for answer in answers_to(server, tenant, boss, operation):
        assert not faults(answer), (answer.request.method, answer.url, answer.status_code)
        statuses.add(answer.status_code)
    assert (
        statuses & {200, 201, 202, 204}
        or "path" in operation.parameters
        or "phone" in str(operation)
    )
    assert 401 in statuses or not operation.needs_a_key
    assert statuses & {404, 405}


@pytest.mark.usefixtures("unguarded")
def test_without_the_guard_no_answer_of_any_route_is_its_callers_alone(
    server: Server, boss: httpx.Client
) -> None:
    for operation in OPERATIONS:
        with server.client(None) as nobody:
            answers = [operation.send(nobody, dict.fromkeys(FILLABLE, 99_999))]
        if operation.verb == "GET":
            answers.append(operation.send(boss, dict.fromkeys(FILLABLE, 1)))
        assert all(map(faults, answers)), operation


def test_every_page_is_its_visitors_alone(server: Server, tenant: Organization) -> None:
    ids: dict[str, Any] = dict.fromkeys(
        ("assistant_id", "version", "version_id", "key_id", "kind", "change_set_id", "webhook_id"),
        1,
    ) | {"name": "x"}
    with Browser(server.url) as visitor, Browser(server.url) as outsider:
        assert not faults(visitor.sign_in(tenant.admin))
        for verb, path in PAGES:
            address = re.sub(r"{(\w+)}", lambda found: str(ids[found[1]]), path)
            for browser in (visitor, outsider):
                answer = browser.client.request(verb, address)
                assert not faults(answer), (verb, address, answer.status_code)
                assert "no-store" in directives(answer, "cache-control"), address
        for address in ("/nothing", "/assistants/none", "/api/none"):
            for accept in ("text/html", "application/json"):
                answer = visitor.get(address, headers={"accept": accept})
                assert not faults(answer), address
                assert "accept" in directives(answer, "vary") or address == "/assistants/none"
        assert not faults(visitor.submit("/sign-out", {}))


def test_files_of_the_console_are_the_same_for_all_and_may_be_kept_by_all(server: Server) -> None:
    with Browser(server.url) as browser:
        files = re.findall(r'"(/static/[^"]+)"', browser.get("/sign-in").text)
        assert files
        for file in files:
            for headers in ({}, {"accept-encoding": "identity"}, {"cookie": "backstory_session=x"}):
                answer = browser.get(file, headers=headers)
                assert {"public", "immutable"} <= directives(answer, "cache-control")
                assert directives(answer, "vary") == {"accept-encoding"}
            # The control: what is not there may not be kept, as it may come.
            assert directives(browser.get(f"{file}x"), "cache-control") == {"no-store"}


def test_what_holds_a_key_a_secret_or_a_session_is_kept_by_nobody(
    server: Server, boss: httpx.Client, tenant: Organization
) -> None:
    secret = {"name": "x", "llm_provider_config": {"api_key": "sk-1"}}
    at = f"{ASSISTANTS}/{boss.post(ASSISTANTS, json=secret).json()['id']}"
    once = {"idempotency-key": "a key, once"}
    asked = {"paths": ["/llm_provider_config"]}
    with server.client(tenant.runtime) as runtime, Browser(server.url) as browser:
        answers = [
            runtime.post(f"{at}/secrets/reveal", json=asked),
            boss.post(KEYS, json={"name": "new"}, headers=once),
            boss.post(KEYS, json={"name": "new"}, headers=once),
            browser.post("/sign-in", {"key": tenant.viewer}),
            browser.get("/sign-in/once", params={"code": "none"}),
            browser.submit("/sign-out", {}),
        ]
    assert answers[0].json()["secrets"] == {"/llm_provider_config/api_key": "sk-1"}
    assert answers[2].headers["idempotent-replayed"] == "true"
    for answer in answers:
        assert "no-store" in directives(answer, "cache-control"), answer.url
    # The control: what holds none may be kept, by its caller.
    assert directives(boss.get(at), "cache-control") == {"private", "no-cache"}


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.verb == "GET"], ids=str)
def test_an_answer_varies_by_each_header_that_makes_it_another(
    boss: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for name, value in _HEADERS_THAT_CHOOSE.items():
        usual, other, again = (
            operation.send(boss, ids, headers=_PLAIN | said) for said in ({}, {name: value}, {})
        )
        if shown(usual) == shown(again) != shown(other):
            assert name.lower() in directives(usual, "vary"), name
            assert name.lower() in directives(other, "vary"), name


@pytest.fixture(scope="module")
def ids(boss: httpx.Client) -> dict[str, Any]:
    return make_ids(boss)


def shown(answer: httpx.Response) -> tuple[Any, ...]:
    names = ("content-type", "content-encoding", "etag")
    return answer.status_code, answer.content, *(answer.headers.get(name) for name in names)


@pytest.mark.parametrize(
    ("below", "name"),
    [
        ("?version=latest", "Accept-Datetime"),
        ("", "Accept-Datetime"),
        ("/diff?from=1&to=2", "Accept"),
        ("/../../audit/export?until_sequence=1", "Accept-Encoding"),
    ],
)
@pytest.mark.usefixtures("unguarded")
def test_there_are_headers_that_make_an_answer_another(
    boss: httpx.Client, ids: dict[str, Any], below: str, name: str
) -> None:
    """The control of the test above: such answers differ, and without the guard none says so."""
    address = f"{ASSISTANTS}/{ids['assistant_id']}{below}"
    usual = boss.get(address, headers=_PLAIN)
    other = boss.get(address, headers=_PLAIN | {name: _HEADERS_THAT_CHOOSE[name]})
    assert (shown(other) != shown(usual)) is (below != "?version=latest")
    assert name.lower() not in directives(other, "vary")


# -- the rule itself


_DIRECTIVES = st.lists(
    st.sampled_from(["public", "PUBLIC", "private", "no-store", "no-cache", "max-age=60",
                     "s-maxage=9", "immutable", "must-revalidate", "stale-if-error=5", ""]),
    max_size=4,
)  # fmt: skip
_NAMES = st.lists(st.sampled_from(["Accept", "cookie", "Authorization", "Prefer", ""]), max_size=3)


@given(
    said=st.lists(_DIRECTIVES, max_size=2),
    varies=st.lists(_NAMES, max_size=2),
    chosen=st.lists(st.sampled_from(["Accept", "Prefer", "Accept-Datetime"]), unique=True),
    is_known=st.booleans(),
    sets_cookie=st.booleans(),
)
def test_whatever_a_route_says_an_answer_to_a_known_caller_is_theirs_alone(
    said: list[list[str]],
    varies: list[list[str]],
    chosen: list[str],
    *,
    is_known: bool,
    sets_cookie: bool,
) -> None:
    scope = {"principal": object() if is_known else None}
    for name in chosen:
        note_varying(scope, name)
    headers = [(b"etag", b'"x"')]
    headers += [(b"cache-control", ", ".join(one).encode()) for one in said]
    headers += [(b"vary", ", ".join(one).encode()) for one in varies]
    headers += [(b"set-cookie", b"a=b")] if sets_cookie else []
    made = cache_control.controlled(scope, headers)
    names = [name for name, _ in made]
    assert names.count(b"cache-control") == 1
    assert names.count(b"vary") <= 1
    answer = httpx.Response(200, headers=made)
    control, vary = directives(answer, "cache-control"), directives(answer, "vary")
    every = {one.lower() for line in said for one in line}
    may_be_public = "public" in every and not is_known and not sets_cookie
    assert ("public" in control) is may_be_public
    assert may_be_public or control & {"private", "no-store"}
    assert may_be_public or {"authorization", "cookie"} <= vary
    assert ("no-store" in control) is ("no-store" in every or sets_cookie)
    assert {one.lower() for one in chosen} <= vary
    assert {one.lower() for line in varies for one in line} - {""} <= vary
    assert (b"etag", b'"x"') in made


# -- what a tag fits


_IDS = st.integers(1, 2**31 - 1)
_STAMPS = st.none() | st.tuples(_IDS, _IDS)
_PLACES = st.tuples(_IDS, st.text(max_size=20), st.binary(max_size=40), _STAMPS)


@given(one=_PLACES, other=_PLACES)
def test_a_tag_fits_one_representation_of_one_resource_of_one_organization(
    one: tuple[int, str, bytes, Stamp | None], other: tuple[int, str, bytes, Stamp | None]
) -> None:
    assert (tag_of(*one) == tag_of(*other)) is (one == other)
    changed = [(*one[:place], other[place], *one[place + 1 :]) for place in range(4)]
    for each in changed:
        assert (tag_of(*each) == tag_of(*one)) is (each == one)  # type: ignore[arg-type]  # as one
    assert re.fullmatch(r"([0-9]+-)?[0-9a-f]{32}", tag_of(*one))
    if one[3] is not None:
        assert version_in(tag_of(*one)) == one[3][0]


class Twin:
    """An organization whose assistant has the number, the name and the version of another's."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.path, self.sibling = make(client), make(client)


@pytest.fixture(scope="module")
def twin_clients(server: Server) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    one, other = server.organization(), server.organization()
    with server.client(one.admin) as ours, server.client(other.admin) as theirs:
        yield ours, theirs


@pytest.fixture
def twins(twin_clients: tuple[httpx.Client, httpx.Client]) -> tuple[Twin, Twin]:
    ours, theirs = map(Twin, twin_clients)
    assert ours.path == theirs.path
    return ours, theirs


def read_policy(client: httpx.Client, _: str, **options: Any) -> httpx.Response:
    return client.get(POLICY, **options)


@pytest.mark.parametrize("what", [*READS, "the policy"])
def test_the_tag_of_one_organization_tells_another_nothing(
    twins: tuple[Twin, Twin], what: str
) -> None:
    read: Send = READS.get(what, read_policy)
    ours, theirs = twins
    tag = read(theirs.client, theirs.path).headers["etag"]
    mine = read(ours.client, ours.path)
    assert mine.headers["etag"] != tag
    for held in (tag, f"W/{tag}", f'"x", {tag}'):
        answer = read(ours.client, ours.path, headers=if_none_match(held))
        assert (answer.status_code, answer.content) == (200, mine.content), held
    # The control: it is good where it came from.
    assert read(theirs.client, theirs.path, headers=if_none_match(tag)).status_code == 304


@pytest.mark.parametrize("what", ["one", "a list", "the policy"])
def test_a_tag_that_names_no_organization_would_be_taken_for_ones_own(
    monkeypatch: pytest.MonkeyPatch, server: Server, what: str
) -> None:
    """The control of the test above: with tags as they were, who holds another's gets 304."""
    for place in ("assistants.representation", "assistants.view_cache", "assistants.policy"):
        monkeypatch.setattr(
            f"app.{place}.tag_of", lambda _, __, body, stamp=None: str((stamp or [len(body)])[0])
        )
    clients = [server.client(server.organization().admin) for _ in range(2)]
    ours, theirs = map(Twin, clients)
    read: Send = READS.get(what, read_policy)
    tag = read(theirs.client, theirs.path).headers["etag"]
    assert read(ours.client, ours.path, headers=if_none_match(tag)).status_code == 304
    for client in clients:
        client.close()


@pytest.mark.parametrize("what", WRITES)
def test_nothing_is_written_over_the_tag_of_another(twins: tuple[Twin, Twin], what: str) -> None:
    ours, theirs = twins
    foreign = theirs.client.get(theirs.path).headers["etag"]
    sibling = ours.client.get(ours.sibling).headers["etag"]
    own = ours.client.get(ours.path).headers["etag"]
    digest = own.strip('"').partition("-")[2]
    past = [ours.client.get(f"{ours.path}?version={n}").headers["etag"] for n in (1, 3, "latest")]
    now = ours.client.get(f"{ours.path}?as_of=2126-01-01T00:00:00Z").headers["etag"]
    forged = [f'"3-{digest[:-1]}"', f'"3-{digest}0"', f'"4-{digest}"', f'"{digest}"', '"3-"']
    for tag in (foreign, sibling, now, *past, *forged, f"W/{own}"):
        answer = WRITES[what](ours.client, ours.path, headers=if_match(tag))
        assert (answer.status_code, problem(answer)) == (412, "precondition-failed"), tag
        assert answer.headers["etag"] == own
    assert ours.client.get(ours.path).headers["etag"] == own
    # The control: over their own tag, they are.
    assert WRITES[what](ours.client, ours.path, headers=if_match(f"{foreign}, {own}")).is_success


@pytest.mark.parametrize("what", WRITES)
def test_a_state_that_another_release_showed_is_good_to_write_over_and_no_reader_has_it(
    twins: tuple[Twin, Twin], what: str
) -> None:
    ours, theirs = twins
    own, foreign = (one.client.get(one.path).headers["etag"] for one in (ours, theirs))
    otherwise, elsewhere = (f'{tag[:-17]}{"0" * 16}"' for tag in (own, foreign))
    shown = ours.client.get(ours.path, headers=if_none_match(otherwise))
    assert (shown.status_code, shown.headers["etag"]) == (200, own)
    assert WRITES[what](ours.client, ours.path, headers=if_match(elsewhere)).status_code == 412
    assert WRITES[what](ours.client, ours.path, headers=if_match(otherwise)).is_success


@pytest.mark.parametrize("what", WRITES)
def test_the_bare_version_is_good_to_write_over(twins: tuple[Twin, Twin], what: str) -> None:
    ours, _ = twins
    assert WRITES[what](ours.client, ours.path, headers=if_match('"2"')).status_code == 412
    assert WRITES[what](ours.client, ours.path, headers=if_match('"3"')).is_success


def test_the_bare_version_is_not_taken_for_what_a_reader_has(twins: tuple[Twin, Twin]) -> None:
    ours, _ = twins
    for what, read in READS.items():
        for tag in ('"3"', 'W/"3"', '"2"', '"2", "3"'):
            answer = read(ours.client, ours.path, headers=if_none_match(tag))
            assert answer.status_code == 200, (what, tag)


def test_each_representation_has_a_tag_of_its_own(twins: tuple[Twin, Twin]) -> None:
    client, path = twins[0].client, twins[0].path
    moment = client.get(path).json()["updated_at"].replace("+00:00", "Z")
    addresses = [
        path, f"{path}?version=3", f"{path}?version=latest", f"{path}?version=2",
        f"{path}?version=1", f"{path}?version=-1", f"{path}?version=label:first",
        f"{path}?as_of={moment}", f"{path}?as_of=2126-01-01T00:00:00Z", f"{path}/versions/3",
        f"{path}/versions/1", f"{path}/versions/latest", twins[0].sibling, ASSISTANTS,
        f"{ASSISTANTS}?limit=99", f"{ASSISTANTS}?skip=1",
        f"{ASSISTANTS}?active_only=true", f"{ASSISTANTS}?my_assistants_only=true",
        f"{ASSISTANTS}?as_of={moment}", f"{ASSISTANTS}?as_of=2126-01-01T00:00:00Z", POLICY,
    ]  # fmt: skip
    tags = {address: client.get(address).headers["etag"] for address in addresses}
    for one, other in itertools.combinations(addresses, 2):
        assert tags[one] != tags[other], (one, other)
    # The control: each is the same as long as it shows the same.
    assert {address: client.get(address).headers["etag"] for address in addresses} == tags


def test_a_tag_is_another_after_an_erasure_and_after_a_restoration(
    twins: tuple[Twin, Twin],
) -> None:
    client, path = twins[0].client, twins[0].path
    assert client.patch(path, json={"api_keys": {"own": "sk-1"}}).is_success
    held = [client.get(path).headers["etag"]]
    assert client.delete(f"{path}/secrets", headers=if_match(held[0])).is_success
    held.append(client.get(path).headers["etag"])
    assert client.delete(path, headers=if_match(held[1])).is_success
    for tag in held:
        assert client.post(f"{path}/restore", headers=if_match(tag)).status_code == 412
    gone = client.post(f"{path}/restore", headers=if_match('"1"'))
    assert version_of(gone) == gone.json()["version"]
    restored = client.post(f"{path}/restore", headers=if_match(gone.headers["etag"]))
    assert restored.headers["etag"] == client.get(path).headers["etag"]
    held += [gone.headers["etag"], restored.headers["etag"]]
    assert len(set(held)) == 4
    for tag in held[:3]:
        assert client.get(path, headers=if_none_match(tag)).status_code == 200
        assert client.patch(path, json={"name": "n"}, headers=if_match(tag)).status_code == 412
    assert client.get(path, headers=if_none_match(held[3])).status_code == 304
