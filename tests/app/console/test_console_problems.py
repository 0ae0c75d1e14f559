"""Errors as pages."""

from __future__ import annotations

import httpx

from tests.conftest import Server


def test_an_unknown_address_is_answered_with_a_page_to_browsers_alone(server: Server) -> None:
    pages = {"accept": "text/html,application/xhtml+xml"}
    shown = httpx.get(f"{server.url}/no/such", headers=pages)
    assert (shown.status_code, shown.headers["content-type"][:9]) == (404, "text/html")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "no-store"
    assert "Accept" in shown.headers["vary"].split(", ")
    other = httpx.get(f"{server.url}/assistants/1/status", headers=pages)
    assert (other.status_code, other.headers["content-type"][:9]) == (405, "text/html")
    for address, headers in (("/no/such", {}), ("/api/v1/no/such", pages)):
        answer = httpx.get(f"{server.url}{address}", headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
