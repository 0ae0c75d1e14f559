"""Keys rotate while clients patch and reveal: nothing fails, nothing is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.conftest import ASSISTANTS, Organization, Server

CLIENTS = 8
CHANGES = 25


def _set_and_read_back(server: Server, organization: Organization, number: int) -> None:
    """Every secret that was acknowledged can be read back at once, whatever rotates."""
    with (
        server.client(organization.editor) as editor,
        server.client(organization.runtime) as runtime,
    ):
        made = editor.post(ASSISTANTS, json={"name": f"Assistant {number}"})
        path = f"{ASSISTANTS}/{made.json()['id']}"
        for change in range(CHANGES):
            value = f"secret-{number}-{change}"
            answer = editor.patch(path, json={"api_keys": {f"key{change}": value}})
            assert answer.status_code == 200, answer.text
            revealed = runtime.post(f"{path}/secrets/reveal", json={"paths": ["/api_keys"]})
            assert revealed.status_code == 200, revealed.text
            assert revealed.json()["secrets"] == {
                f"/api_keys/key{earlier}": f"secret-{number}-{earlier}"
                for earlier in range(change + 1)
            }


def test_rotation_under_load_fails_nobody_and_loses_nothing(
    server: Server, organization: Organization
) -> None:
    done = threading.Event()

    def rotate() -> int:
        rotations = 0
        with server.client(organization.admin) as admin:
            while not done.is_set():
                data_keys = rotations % 2 == 0
                answer = admin.post("/api/v1/vault/rotate", json={"data_keys": data_keys})
                assert answer.status_code == 200, answer.text
                rotations += 1
        return rotations

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        rotating = pool.submit(rotate)
        working = [
            pool.submit(_set_and_read_back, server, organization, number)
            for number in range(CLIENTS)
        ]
        try:
            for one in working:
                one.result()
        finally:
            done.set()
        assert rotating.result() > 1


def test_a_reader_sees_no_state_between_two_keys(
    server: Server, organization: Organization, editor: httpx.Client, runtime: httpx.Client
) -> None:
    made = editor.post(ASSISTANTS, json={"name": "x", "api_keys": {"a": "value"}}).json()
    path = f"{ASSISTANTS}/{made['id']}/secrets/reveal"
    with server.client(organization.admin) as admin, ThreadPoolExecutor(1) as pool:
        rotating = pool.submit(
            lambda: [
                admin.post("/api/v1/vault/rotate", json={"data_keys": True}) for _ in range(20)
            ]
        )
        answers = [runtime.post(path, json={"paths": ["/api_keys"]}) for _ in range(60)]
        assert {answer.status_code for answer in rotating.result()} == {200}
    assert {answer.text for answer in answers} == {'{"secrets":{"/api_keys/a":"value"}}'}
