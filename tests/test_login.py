"""The password: what is answered before it was given, the cookie, and the end of a session."""

from typing import Any

import httpx
import pytest

from dashboard.server.middleware import FilterRules, RequestFilter
from dashboard.server.proxies import Proxies
from tests.test_gate import HERE, ask


class App:
    """What the gate asks of Gradio's application."""

    auth: object = {"me": "secret"}
    cookie_id = "x1"

    def __init__(self) -> None:
        self.tokens = {"mine": "me", "other": "me"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"set-cookie", b"access-token-x1=t; HttpOnly; Path=/; SameSite=none; Secure"),
                    (b"set-cookie", b"access-token-unsecure-x1=t; HttpOnly; Path=/; SameSite=lax"),
                    (b"content-type", b"text/html"),
                ],
            }
        )
        page = (
            b"<script>window.gradio_config = {};</script>"
            b'<script>window.gradio_api_info = {"named_endpoints": {"/explain": {}}};</script>'
        )
        await send({"type": "http.response.body", "body": page if scope["path"] == "/" else b"in"})


def signed(
    app: App, path: str, method: str = "GET", rules: FilterRules | None = None, **more: Any
) -> httpx.Response:
    async def named(scope: Any, receive: Any, send: Any) -> None:
        await RequestFilter(app, rules or FilterRules())({**scope, "app": app}, receive, send)

    return ask(path, method, gate=named, **more)  # type: ignore[arg-type]


MINE = {"cookie": "access-token-unsecure-x1=mine"}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/gradio_api/heartbeat/abc", "GET"),
        ("/gradio_api/cancel", "POST"),
        ("/gradio_api/reset", "POST"),
        ("/gradio_api/info", "GET"),
        ("/gradio_api/queue/join", "POST"),
        ("/gradio_api/queue/data", "GET"),
        ("/gradio_api/upload", "POST"),
        ("/gradio_api/upload_progress", "GET"),
        ("/gradio_api/call/predict", "POST"),
        ("/gradio_api/file=/tmp/x", "GET"),
    ],
)
def test_without_the_password_nothing_answers(path: str, method: str) -> None:
    assert signed(App(), path, method).status_code == 401
    assert (
        signed(App(), path, method, headers={"cookie": "access-token-unsecure-x1=guessed"}).status_code == 401
    )
    assert signed(App(), path, method, headers=MINE).status_code == 200


def test_the_front_page_names_no_endpoints_before_login() -> None:
    before, after = signed(App(), "/"), signed(App(), "/", headers=MINE)
    assert "explain" not in before.text
    assert '"named_endpoints": {}' in before.text
    assert "explain" in after.text
    assert int(before.headers["content-length"]) == len(before.content)


def test_logging_out_ends_ones_own_session_alone() -> None:
    app, own = App(), {**MINE, "origin": HERE}
    for headers, method, status in (
        ({**MINE}, "GET", 405),
        ({**MINE}, "POST", 403),
        ({**MINE, "origin": "https://evil.example"}, "POST", 403),
        ({**MINE, "sec-fetch-site": "same-site"}, "POST", 403),
    ):
        assert signed(app, "/logout", method, headers=headers).status_code == status
    assert set(app.tokens) == {"mine", "other"}
    answer = signed(app, "/logout", "POST", headers=own)
    assert (answer.status_code, set(app.tokens)) == (303, {"other"})
    assert "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("rules", "headers", "cookie"),
    [
        (FilterRules(), {}, "access-token-unsecure-x1=t; Path=/; HttpOnly; SameSite=Lax"),
        (FilterRules(https=True), {}, "access-token-x1=t; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (
            FilterRules(proxies=Proxies.parse("127.0.0.1")),
            {"x-forwarded-proto": "https"},
            "access-token-x1=t; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
        (
            FilterRules(),
            {"x-forwarded-proto": "https"},
            "access-token-unsecure-x1=t; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            FilterRules(https=True, framed_by="'self' https://huggingface.co"),
            {},
            "access-token-x1=t; Path=/; HttpOnly; SameSite=None; Secure",
        ),
    ],
)
def test_the_cookie_of_a_login(rules: FilterRules, headers: dict[str, str], cookie: str) -> None:
    assert signed(App(), "/login", "POST", rules=rules, headers=headers).headers.get_list("set-cookie") == [
        cookie
    ]
