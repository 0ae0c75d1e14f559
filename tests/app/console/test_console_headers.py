"""The headers of every answer of the console, and its compression."""

from __future__ import annotations

import gzip
import re

from tests.conftest import Organization, Server
from tests.console import Browser


def test_every_answer_has_the_security_headers(
    browser: Browser, organization: Organization
) -> None:
    browser.sign_in(organization.viewer)
    home = browser.get("/")
    (style,) = re.findall(r'href="(/static/console\.\w+\.css)"', home.text)
    (script,) = re.findall(r'src="(/static/console\.\w+\.js)"', home.text)
    for answer in (home, *map(browser.get, ("/sign-in", "/sign-in/once", style, script))):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert home.headers["cache-control"] == "no-store"
    assert "immutable" in browser.get(style).headers["cache-control"]
    assert browser.get("/static/console.css").status_code == 404
    assert browser.get(style).headers["content-type"] == "text/css; charset=utf-8"


def test_pages_are_compressed_and_the_api_is_not(
    server: Server, browser: Browser, organization: Organization
) -> None:
    browser.sign_in(organization.viewer)
    assert browser.get("/").headers["content-encoding"] == "gzip"
    with server.client(organization.viewer) as client:
        assert "content-encoding" not in client.get("/api/v1/assistants/providers").headers


def test_pages_are_compressed_at_the_fastest_level(browser: Browser) -> None:
    with browser.client.stream("GET", "/sign-in") as answer:
        compressed = b"".join(answer.iter_raw())
    assert gzip.decompress(compressed).startswith(b"<!doctype html>")
    assert compressed[8] == 4  # RFC 1952: XFL
