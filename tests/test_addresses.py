"""Who asks, and from which page: addresses that stand for one person, attempts at the same time, origins."""

import asyncio
from typing import Any, ClassVar

import httpx
import pytest

from dashboard.server.bodies import OF_A_LINK, PAGES
from dashboard.server.login import ATTEMPTS
from dashboard.server.middleware import FilterRules, RequestFilter
from dashboard.server.proxies import Proxies, network
from tests.test_gate import ask, inside

LINK = {"host": "abc.gradio.live"}


def by_link() -> FilterRules:
    return FilterRules(
        names={"abc.gradio.live"}, links={"abc.gradio.live"}, origins={"https://abc.gradio.live"}
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
        ("unix", "unix", True),
    ],
)
def test_addresses_of_one_person(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


def test_wrong_passwords_at_the_same_time_are_counted_before_they_are_looked_at() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await inside(scope, receive, send)

    async def all_at_once() -> list[int]:
        transport = httpx.ASGITransport(app=RequestFilter(slow, FilterRules()))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            asked = [client.post("/login", content=b"wrong") for _ in range(150)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    found = asyncio.run(all_at_once())
    assert (found.count(400), found.count(429)) == (ATTEMPTS, 150 - ATTEMPTS)


def test_right_passwords_are_not_counted() -> None:
    gate = RequestFilter(inside, FilterRules())
    found = [ask("/login", "POST", gate=gate, content=b"right").status_code for _ in range(5 * ATTEMPTS)]
    assert found == [200] * 5 * ATTEMPTS


def test_one_network_of_ipv6_is_one_address() -> None:
    gate = RequestFilter(inside, FilterRules(proxies=Proxies.parse("127.0.0.1")))
    found = [
        ask(
            "/login", "POST", gate=gate, content=b"wrong", headers={"x-forwarded-for": f"2001:db8:1:1::{n:x}"}
        )
        for n in range(60)
    ]
    assert [answer.status_code for answer in found].count(400) == ATTEMPTS


@pytest.mark.slow
def test_one_visitor_of_a_link_does_not_stop_the_others() -> None:
    """Each is known by what it was given at login; without a password they share a larger number."""

    class App:
        auth: object = {"me": "secret"}
        cookie_id = "x1"
        tokens: ClassVar[dict[str, str]] = {"one": "me", "other": "me"}

    gate = RequestFilter(inside, by_link())

    async def signed(scope: Any, receive: Any, send: Any) -> None:
        await gate({**scope, "app": App}, receive, send)

    def join(name: str, token: str) -> int:
        headers = LINK | {"cookie": f"access-token-unsecure-x1={token}"}
        body = {"session_hash": name}
        return ask("/gradio_api/queue/join", "POST", gate=signed, headers=headers, json=body).status_code  # type: ignore[arg-type]

    assert [join(f"page {n}", "one") for n in range(PAGES + 5)] == [200] * PAGES + [429] * 5
    assert join("mine", "other") == 200
    public = RequestFilter(inside, by_link())
    found = [
        ask("/gradio_api/queue/join", "POST", gate=public, headers=LINK, json={"session_hash": f"p{n}"})
        for n in range(OF_A_LINK + 3)
    ]
    assert [answer.status_code for answer in found].count(429) == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://name.example"}, 200),
        ({"origin": "https://NAME.example"}, 200),
        ({"origin": "http://name.example"}, 403),
        ({"origin": "https://name.example:444"}, 403),
        ({"origin": "https://evil.example", "x-forwarded-host": "evil.example"}, 403),
        ({"origin": "https://evil.example", "x-forwarded-host": "name.example, evil.example"}, 403),
        ({"origin": "https://evil.example", "x-forwarded-host": "evil.example, name.example"}, 403),
        ({"origin": "https://name.example", "x-forwarded-host": "name.example"}, 200),
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"origin": "http://127.0.0.1:7861"}, 403),
    ],
)
def test_a_page_with_a_name_has_that_origin_alone(headers: dict[str, str], status: int) -> None:
    rules = FilterRules(
        names={"name.example"}, origins={"https://name.example"}, proxies=Proxies.parse("127.0.0.1")
    )
    assert ask("/gradio_api/queue/join", "POST", headers=headers, rules=rules).status_code == status


@pytest.mark.parametrize(
    "text", ["http://[::1", "http://[v]", "http://a:b", "http://a:99999", "[", "//", "\x7f"]
)
def test_what_is_no_origin_and_no_host_is_refused(text: str) -> None:
    assert ask("/config", headers={"origin": text}).status_code == 403
    assert ask("/config", headers={"host": text}).status_code == 403
    for rules in (FilterRules(any_host=True), FilterRules(names={"name.example"})):
        assert ask("/config", headers={"host": text}, rules=rules).status_code in (200, 403)
