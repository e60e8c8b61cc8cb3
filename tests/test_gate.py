"""The gate before the page: what it lets through, and what it refuses in one line."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dashboard.server.bodies import PAGES
from dashboard.server.login import ATTEMPTS, MINUTE, Attempts
from dashboard.server.middleware import BODY_BYTES, FilterRules, RequestFilter
from dashboard.server.proxies import Proxies

HERE = "http://127.0.0.1:7860"


async def inside(scope: Any, receive: Any, send: Any) -> None:
    """A page that reads its body, tells its query, and knows one password."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    wrong = scope["path"] == "/login" and body != b"right"
    await send(
        {
            "type": "http.response.start",
            "status": 400 if wrong else 200,
            "headers": [(b"content-security-policy", b"none of ours")],
        }
    )
    await send({"type": "http.response.body", "body": b"in:" + scope["query_string"]})


def ask(
    path: str,
    method: str = "GET",
    rules: FilterRules | None = None,
    gate: RequestFilter | None = None,
    base: str = HERE,
    **more: Any,
) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=gate or RequestFilter(inside, rules or FilterRules()))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/gradio_api/info",
        "/gradio_api/upload",
        "/gradio_api/queue/join",
        "/gradio_api/queue/data?session_hash=x",
        "/assets/index.js",
        "/gradio_api/heartbeat/abc",
        "/gradio_api/call/predict",
        "/gradio_api/call/predict/17",
        "/theme.css",
        "/gradio_api/file=/tmp/x.png",
        "/login",
    ],
)
def test_what_the_page_needs_passes(path: str) -> None:
    answer = ask(path)
    assert (answer.status_code, answer.text[:3]) == (400 if path == "/login" else 200, "in:")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers.get_list("content-security-policy") != ["none of ours"]
    policy = answer.headers["content-security-policy"]
    assert ("sandbox" if "/file=" in path else "frame-ancestors") in policy


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/run/predict",
        "/gradio_api/api/predict",
        "/run/predict",
        "/api/predict",
        "/pwa_icon",
        "/pwa_icon/512",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/openapi.json",
        "/openapi.json",
        "/docs",
        "/gradio_api/proxy=https://example.org/",
        "/gradio_api/dev/reload",
        "/gradio_api/vibe-edit",
        "/gradio_api/process_recording",
        "/gradio_api/deep_link",
        "/gradio_api/runs",
        "/gradio_api/token",
        "/gradio_api/profiling/traces",
        "/gradio_api/mcp/",
        "/gradio_api/file=https://example.org/x.png",
        "/gradio_api/file=HTTP://127.0.0.1/x",
        "/gradio_api/file=//http:x",
        "/../etc/passwd",
        "/gradio_api/stream/x",
    ],
)
def test_everything_else_is_not_there(path: str) -> None:
    for method in ("GET", "POST"):
        answer = ask(path, method)
        assert answer.status_code == 404
        assert answer.text.startswith("Not found")


def test_the_end_of_a_stream_is_taken() -> None:
    path = "/gradio_api/stream/cd90b2db842745e3a6c75b84e94422d1/close"
    assert ask(path, "POST").status_code == 200
    assert ask(path).status_code == 404
    assert ask(path, "POST", headers={"origin": "https://evil.example"}).status_code == 403


def test_tools_for_agents_only_where_they_are_offered() -> None:
    assert ask("/gradio_api/mcp/", rules=FilterRules(mcp=True)).status_code == 200


def test_health_is_told_to_anyone() -> None:
    answer = ask("/healthz", headers={"host": "probe.internal", "origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", f"{HERE}.evil.example"]
)
def test_other_origins_are_refused(origin: str) -> None:
    for method in ("GET", "POST"):
        assert ask("/gradio_api/queue/join", method, headers={"origin": origin}).status_code == 403
    assert ask("/gradio_api/queue/join", "POST", headers={"origin": HERE}).status_code == 200


def test_a_form_of_another_site_is_refused_without_an_origin_too() -> None:
    assert ask("/gradio_api/queue/join", "POST", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert ask("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # somebody followed a link


THROUGH_A_PROXY = {
    "origin": "https://vitrine.example",
    "x-forwarded-host": "vitrine.example",
    "host": "127.0.0.1:7860",
}


def test_a_trusted_proxy_may_say_the_origin_and_nobody_else() -> None:
    assert ask("/gradio_api/queue/join", "POST", headers=THROUGH_A_PROXY).status_code == 403
    for trusted, status in (("127.0.0.1", 200), ("10.0.0.0/8", 403)):
        rules = FilterRules(proxies=Proxies.parse(trusted))
        assert (
            ask("/gradio_api/queue/join", "POST", headers=THROUGH_A_PROXY, rules=rules).status_code == status
        )


def test_the_page_sees_no_forwarded_header_that_is_not_believed() -> None:
    forged = {
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "6.6.6.6",
        "forwarded": "for=6.6.6.6",
        "x-gradio-server": "http://evil.example",
        "x-real-ip": "6.6.6.6",
    }
    for rules, told in (
        (FilterRules(), set()),
        (FilterRules(proxies=Proxies.parse("127.0.0.1")), {"x-forwarded-host", "x-forwarded-proto"}),
    ):
        seen: dict[str, Any] = {}

        async def inner(scope: Any, receive: Any, send: Any, seen: Any = seen) -> None:
            seen |= scope
            await inside(scope, receive, send)

        assert ask("/config", gate=RequestFilter(inner, rules), headers=forged).status_code == 200
        names = {k.decode() for k, _ in seen["headers"]}
        assert names & set(forged) == told
        assert seen["client"][0] == ("6.6.6.6" if told else "127.0.0.1")
        assert seen["scheme"] == ("https" if told else "http")


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("9.9.9.9, 1.2.3.4, 10.0.0.7", "1.2.3.4"),
        ("10.0.0.7", "10.0.0.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("1.2.3.4:99", "1.2.3.4"),
        ("", "10.0.0.1"),
    ],
)
def test_who_asks_through_proxies(chain: str, client: str) -> None:
    """What stands before the last address that is no proxy's may be made up."""
    assert Proxies.parse("10.0.0.0/8").client("10.0.0.1", chain) == client


def test_preflights_of_other_pages_are_refused() -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = ask("/gradio_api/queue/join", "OPTIONS", headers=asked)
    assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (403, False)


def test_a_link_whose_host_is_rewritten() -> None:
    """A tunnel may ask under this machine's own name for what a browser opened under another."""
    headers = {"origin": "https://abc.gradio.live"}
    assert (
        ask(
            "/gradio_api/queue/join",
            "POST",
            headers=headers,
            rules=FilterRules(origins={"https://abc.gradio.live"}),
        ).status_code
        == 200
    )
    assert (
        ask(
            "/gradio_api/queue/join",
            "POST",
            headers=headers,
            rules=FilterRules(origins={"https://xyz.gradio.live"}),
        ).status_code
        == 403
    )


def test_a_name_that_was_bound_to_this_machine_is_refused() -> None:
    """DNS rebinding: origin and host agree, but the host is another's name."""
    headers = {"host": "rebound.example:7860", "origin": "http://rebound.example:7860"}
    answer = ask("/config", headers=headers)
    assert (answer.status_code, "--root-path" in answer.text) == (403, True)
    assert ask("/config", headers=headers, rules=FilterRules(any_host=True)).status_code == 200
    assert ask("/config", headers=headers, rules=FilterRules(names={"rebound.example"})).status_code == 200
    assert ask("/config", base="http://[::1]:7860").status_code == 200


def test_bodies_are_counted_as_they_come() -> None:
    assert ask("/gradio_api/queue/join", "POST", content=b"x" * BODY_BYTES).status_code == 200
    assert ask("/gradio_api/queue/join", "POST", content=b"x" * (BODY_BYTES + 1)).status_code == 413
    assert ask("/gradio_api/queue/join", "POST", headers={"content-length": "-1"}).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:  # no length is said
        for _ in range(30):
            yield b"x" * 100_000

    answer = ask("/gradio_api/queue/join", "POST", content=chunks())
    assert (answer.status_code, answer.text) == (413, "Too large: at most 1 MB.")
    assert ask("/gradio_api/upload", "POST", content=chunks()).status_code == 200


def test_uploads_wait_where_there_is_no_room() -> None:
    assert ask("/gradio_api/upload", "POST", rules=FilterRules(upload_room=lambda: False)).status_code == 503


@pytest.mark.slow
def test_three_hundred_passwords() -> None:
    gate = RequestFilter(inside, FilterRules())
    found = [ask("/login", "POST", gate=gate, content=b"wrong").status_code for _ in range(300)]
    assert found == [400] * ATTEMPTS + [429] * (300 - ATTEMPTS)
    assert ask("/login", "POST", gate=gate, content=b"right").status_code == 429
    others = [
        ask(
            "/login", "POST", gate=gate, content=b"wrong", headers={"x-forwarded-for": f"10.0.0.{i}"}
        ).status_code
        for i in range(50)
    ]
    assert others == [429] * 50  # made up addresses do not help
    assert ask("/config", gate=gate).status_code == 200  # who is in stays in


@pytest.mark.slow
def test_nobody_can_lock_others_out() -> None:
    gate = RequestFilter(inside, FilterRules(proxies=Proxies.parse("127.0.0.1")))
    for i in range(300):
        ask(
            "/login",
            "POST",
            gate=gate,
            content=b"wrong",
            headers={"x-forwarded-for": f"8.8.{i % 9}.{i}, 66.6.6.6"},
        )
    assert (
        ask(
            "/login", "POST", gate=gate, content=b"right", headers={"x-forwarded-for": "8.8.1.1, 66.6.6.6"}
        ).status_code
        == 429
    )
    assert (
        ask("/login", "POST", gate=gate, content=b"right", headers={"x-forwarded-for": "8.8.1.1"}).status_code
        == 200
    )


def test_visitors_of_a_public_link_share_an_address_and_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They wait for the answer instead: made up passwords have 72 bits."""
    monkeypatch.setattr("dashboard.server.middleware.SLOWED", 0.001)
    rules = FilterRules(
        names={"abc.gradio.live"}, links={"abc.gradio.live"}, origins={"https://abc.gradio.live"}
    )
    gate = RequestFilter(inside, rules)
    for by in ({"host": "abc.gradio.live"}, {"origin": "https://abc.gradio.live"}, {}):
        for _ in range(3 * ATTEMPTS):
            assert ask("/login", "POST", gate=gate, content=b"wrong", headers=by).status_code == 400
        assert ask("/login", "POST", gate=gate, content=b"right", headers=by).status_code == 200


def test_wrong_passwords_are_forgotten_after_a_minute() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(ATTEMPTS):
        attempts.add("a")
    assert 0 < attempts.wait("a") <= MINUTE + 1
    assert attempts.wait("b") == 0
    now[0] = MINUTE + 1.5
    assert attempts.wait("a") == 0


@pytest.mark.slow
def test_nobody_opens_so_many_pages_that_others_are_forgotten() -> None:
    now = [0.0]
    gate = RequestFilter(inside, FilterRules(proxies=Proxies.parse("127.0.0.1")), lambda: now[0])

    def join(name: str, client: str, path: str = "/gradio_api/queue/join") -> int:
        return ask(
            path,
            "POST",
            gate=gate,
            json={"session_hash": name, "data": []},
            headers={"x-forwarded-for": client},
        ).status_code

    assert join("mine", "1.1.1.1") == 200
    assert [join(f"page {i}", "6.6.6.6") for i in range(PAGES + 200)] == [200] * PAGES + [429] * 200
    assert (
        ask("/gradio_api/heartbeat/another", gate=gate, headers={"x-forwarded-for": "6.6.6.6"}).status_code
        == 429
    )
    assert join("", "6.6.6.6", "/gradio_api/call/predict") == 429
    assert join("page 1", "6.6.6.6") == 200  # one that is open works
    assert join("mine", "1.1.1.1") == 200
    assert join("another", "1.1.1.1") == 200
    now[0] = 61
    assert join("again", "6.6.6.6") == 200


def test_readers_send_no_photos() -> None:
    assert ask("/gradio_api/upload", "POST", rules=FilterRules(uploads=False)).status_code == 403


def test_words_that_gradio_fails_on_do_not_reach_it() -> None:
    assert ask("/?page=2&class=fear&deep_link=../x").text == "in:class=fear"
    assert ask("/gradio_api/queue/data?page=2").text == "in:page=2"


def test_files_are_inert() -> None:
    assert "sandbox" in ask("/gradio_api/file=/tmp/x.svg").headers["content-security-policy"]


def test_what_is_no_request_is_not_answered() -> None:
    async def connect() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await RequestFilter(inside, FilterRules())(
            {"type": "websocket", "path": "/", "headers": []}, None, send
        )  # type: ignore[arg-type]
        return sent

    assert asyncio.run(connect()) == []
