"""No webhook reaches what is not public: whatever the URL looks like, wherever its name leads."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from app.webhooks.addresses import is_public, read_url, shown
from app.webhooks.sending import Sender
from tests.app.webhooks.receivers import receiving, status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.webhooks.addresses import Resolver
    from app.webhooks.sending import Attempt

_PRIVATE = [
    "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1",
]  # fmt: skip
_PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
# Spellings of 127.0.0.1 and others that a URL can have; the system's resolver reads them.
_SPELLED = [
    "127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.1", "0177.0.0.1", "0",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]", "169.254.169.254", "localhost", "LOCALHOST",
]  # fmt: skip


def to(*addresses: str) -> Resolver:
    """A resolver that gives these, whatever the name."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return addresses

    return resolve


async def sent(sender: Sender, url: str) -> Attempt:
    attempt = await sender.send(url, {}, b"{}")
    sender.close()
    return attempt


@pytest.mark.parametrize("address", _PRIVATE)
def test_what_is_not_public_is_told_by_its_number(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", _PUBLIC)
def test_what_is_public_is_not_refused(address: str) -> None:  # the control of the table
    assert is_public(address)


@pytest.mark.parametrize("host", _SPELLED)
def test_nothing_is_sent_to_this_machine_however_it_is_spelled(host: str) -> None:
    async def story() -> None:
        async with receiving() as receiver:
            url = f"https://{host}:{receiver.port}/"
            attempt = await sent(Sender(allow_private=False), url)
            assert attempt.status is None
            assert attempt.error is not None
            assert "public" in attempt.error
            assert not receiver.got

    asyncio.run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "127.1", "localhost"])
def test_without_the_guard_it_would_be_sent(host: str) -> None:
    async def story() -> None:
        async with receiving() as receiver:
            attempt = await sent(Sender(allow_private=True), receiver.url(host))
            assert (attempt.status, len(receiver.got)) == (204, 1)

    asyncio.run(story())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "::1"]])
def test_a_name_with_one_address_that_is_not_public_is_refused(addresses: list[str]) -> None:
    sender = Sender(allow_private=False, resolve=to(*addresses))
    attempt = asyncio.run(sent(sender, "https://hooks.example/"))
    assert attempt.error == "The host's address is not public"


def test_a_name_that_leads_elsewhere_the_second_time_is_not_asked_twice() -> None:
    """A name server can answer with a public address for the check, then with a private one."""

    async def story() -> None:
        async with receiving() as checked, receiving() as other:
            asked = []

            async def rebinding(host: str, port: int) -> Sequence[str]:
                asked.append((host, port))
                return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

            sender = Sender(allow_private=True, resolve=rebinding)
            attempt = await sent(sender, checked.url("hooks.example"))
            assert attempt.status == 204
            assert asked == [("hooks.example", checked.port)]
            assert checked.got[0].headers["host"] == f"hooks.example:{checked.port}"
            assert not other.got

    asyncio.run(story())


def test_a_redirect_leads_nowhere() -> None:
    async def story() -> None:
        async with receiving() as inside:
            for number in (301, 302, 303, 307, 308):
                answer = status(number, f"location: {inside.url()}")
                async with receiving(answer) as receiver:
                    attempt = await sent(Sender(allow_private=True), receiver.url())
                    assert attempt.error == f"The answer was {number}; redirects are not followed"
            assert not inside.got

    asyncio.run(story())


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with receiving() as proxy, receiving() as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url(path=""))
            assert (await sent(Sender(allow_private=True), receiver.url())).status == 204
            assert not proxy.got

    asyncio.run(story())


def test_a_name_that_is_not_found_and_a_port_that_is_closed_are_failures() -> None:
    nowhere = Sender(allow_private=False, resolve=to())
    assert asyncio.run(sent(nowhere, "https://hooks.example/")).error == "The host was not found"
    closed = Sender(allow_private=True, resolve=to("127.0.0.1"))
    attempt = asyncio.run(sent(closed, "http://hooks.example:1/"))
    assert attempt.error == "The connection failed"


def test_the_second_address_is_tried_if_the_first_takes_no_connection() -> None:
    async def story() -> None:
        async with receiving() as receiver:
            sender = Sender(allow_private=True, resolve=to("127.0.0.9", "127.0.0.1"))
            assert (await sent(sender, receiver.url("hooks.example"))).status == 204

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://hooks.example/", "https"),
        ("ftp://hooks.example/", "URL"),
        ("https://user:pass@hooks.example/", "no password"),
        ("https://user@hooks.example/", "no user name"),
        ("https://8.8.8.8\\@127.0.0.1/", "no user name"),
        ("https://hooks.example/#part", "fragment"),
        ("https://hooks.example:0/", "port"),
        ("https://hooks.example:99999/", "port"),
        ("https:///path", "URL"),
        ("https://ho oks.example/", "URL"),
        ("https://hooks.example/\r\nX: y", "URL"),
        ("https://hööks.example/", "URL"),
        ("https://127.1/", "public"),
        ("https://[::1]/", "public"),
        ("https://[fe80::1%25eth0]/", "URL"),
        ("https://hooks.example/" + "x" * 2000, "at most"),
    ],
)
def test_a_url_that_breaks_a_rule_is_refused(url: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        read_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "is_secret", "expected"),
    [
        ("https://h.example", False, "https://h.example/"),
        ("https://h.example:443/a/b", False, "https://h.example/a/b"),
        ("https://h.example:8443/a?key=1", False, "https://h.example:8443/a?********"),
        ("https://h.example?key=1", False, "https://h.example/?********"),
        ("https://[2606:4700::1]/a", False, "https://[2606:4700::1]/a"),
        (
            "https://hooks.slack.example/services/T/B/x",
            True,
            "https://hooks.slack.example/********",
        ),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(
    url: str,
    is_secret: bool,  # noqa: FBT001  # a case
    expected: str,
) -> None:
    assert shown(read_url(url, allow_private=False), is_secret=is_secret) == expected


def test_tls_is_for_the_name_though_the_address_is_pinned() -> None:
    names: list[str | None] = []

    def note(_: object, name: str | None, __: object) -> None:
        names.append(name)

    async def story() -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.sni_callback = note
        async with receiving(tls=server) as receiver:
            sender = Sender(allow_private=True, resolve=to("127.0.0.1"))
            url = receiver.url("hooks.example").replace("http:", "https:")
            attempt = await sent(sender, url)
            assert attempt.error is not None  # it has no certificate
            assert not receiver.got

    asyncio.run(story())
    assert names == ["hooks.example"]
