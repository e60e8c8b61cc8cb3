"""Filters requests before they reach Gradio: known paths, the page's own origin, size limits, and login."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from dashboard.server.assets import NAMED_BY_CONTENT, Assets
from dashboard.server.bodies import (
    Application,
    Body,
    Message,
    Pages,
    Receive,
    Send,
    answer,
    session_of,
    whole,
)
from dashboard.server.headers import with_headers
from dashboard.server.login import Attempts, expired, log_out, needs_login, tokens
from dashboard.server.proxies import LOOPBACK, Proxies, network, seen_through
from dashboard.server.streams import Streams

GRADIOS_OWN = ("page", "deep_link")
LOCAL = {"127.0.0.1", "localhost", "::1"}
UPLOAD_BYTES, BODY_BYTES = 25_000_000, 1_000_000
COMPRESSION = 5
"""Of the page: a quarter of its bytes is sent. Gradio compresses its scripts and styles alone."""
SLOWED = 1.0  # seconds before a wrong password that came by the public link is answered

_API = (
    "info|upload|upload_progress|queue/join|queue/data|heartbeat/.+|cancel|reset|call/.+|file=.+|"
    "startup-events|theme.css|app_id|login_check|user|component_server"
)
KNOWN = re.compile(
    r"/(|config|login|logout|theme.css|robots.txt|manifest.json|favicon.ico|(assets|static|svelte)/.+|"
    rf"gradio_api/({_API}))/?"
)
"""Paths that the page and gradio_client use. Excluded: /gradio_api/run and /api, which bypass the queue;
/proxy= and /file=http..., which fetch; and all others."""
OPEN = re.compile(
    r"/(|config|login|theme.css|robots.txt|manifest.json|favicon.ico|(assets|static|svelte)/.+|"
    r"gradio_api/(startup-events|theme.css|app_id|login_check|user))/?"
)
"""Paths that are served before the login: the form and its assets. Gradio itself refuses /config then, with
the texts of the form."""
THIS_MACHINE = Proxies.parse(LOOPBACK)
PASSED = "vitrine.passed"
TOO_MANY_PAGES = "Too many pages were opened from your address: wait a minute."
MCP = re.compile(r"/gradio_api/mcp(/.*)?")
STREAM_CLOSED = re.compile(r"/gradio_api/stream/[0-9a-f]+/close")
"""What Gradio's image component sends where another image comes before the events of the last one are done.
No event here is a stream: there is nothing to close."""
PAGE_NAMED = re.compile(r"/gradio_api/(queue/join|call/[^/]+(/[^/]+)?|cancel|reset|component_server)/?")
CALLED = re.compile(r"/gradio_api/component_server/?")
"""Functions of components that their scripts call: those of Live alone. Files are not taken: they would be
written."""
_API_INFO = re.compile(rb"(window\.gradio_api_info = ).*?(;</script>)", re.DOTALL)


@dataclass
class FilterRules:
    """`names`: hosts of this page besides this machine's own. `links`: those of them that are public links;
    `origins`: as browsers write those of this page, besides this machine's own. `any_host`: it may be asked
    for under others, too. `proxies`: whose forwarded headers count. `https`: it is reached by HTTPS alone.
    `framed_by`: pages that may show this one inside. `uploads`: whether photos may be sent; `upload_room`:
    whether another may be kept for the moment it is needed. `runs`: of a list of runs, their pages."""

    names: set[str] = field(default_factory=set)
    any_host: bool = False
    framed_by: str = "'self'"
    mcp: bool = False
    upload_room: Callable[[], bool] = lambda: True
    uploads: bool = True
    proxies: Proxies = field(default_factory=Proxies)
    https: bool = False
    links: set[str] = field(default_factory=set)
    origins: set[str] = field(default_factory=set)
    runs: "Runs | None" = None


class Runs(Protocol):
    """The pages of several runs (`dashboard.server.open_runs`)."""

    def split(self, path: str) -> tuple[str, str]: ...

    def serve(self, name: str) -> Application: ...


class RequestFilter:
    """The outermost ASGI middleware; a request that it refuses gets one line."""

    def __init__(self, app: Application, rules: FilterRules, clock: Callable[[], float] = time.monotonic):
        self._app, self._rules = app, rules
        self._streams, self._assets = Streams(), Assets()
        self._attempts, self._pages = Attempts(clock), Pages(clock)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        by_link = self._link(scope)
        scope = seen_through(dict(scope), self._rules.proxies, by_link)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        run, path = self._rules.runs.split(_path(scope)) if self._rules.runs else ("", _path(scope))
        https = self._rules.https or scope["scheme"] == "https"
        send = with_headers(send, path, self._rules.framed_by, https)
        if path == "/healthz":
            await answer(send, 200, '{"status": "ok"}', "application/json")
        elif run and not path:
            await answer(send, 307, "", more=[(b"location", _with_slash(run, scope))])
        elif refusal := self._refusal(scope, path, headers):
            await answer(send, *refusal)
        elif STREAM_CLOSED.fullmatch(path):
            await answer(send, 200, '{"msg": "success"}', "application/json")
        elif path.rstrip("/") == "/logout":
            log_out(scope)
            await answer(send, 303, "", more=[(b"location", b"./"), *expired(scope)])
        else:
            if run:
                scope |= {"path": path, "raw_path": quote(path).encode()}
            passed = {**scope, PASSED: True, "query_string": _query(scope, path)}
            await self._pass_on(passed, path, run, receive, send)

    def _link(self, scope: Message) -> str:
        """The public link that a request came through; empty where it did not. The link's own program passes
        it on from this machine, and may name the link in any of three headers."""
        if not self._rules.links or not THIS_MACHINE.trust(_client(scope)):
            return ""
        headers = {k.lower(): v.decode("latin-1") for k, v in scope["headers"]}
        names = [
            _name(headers.get(b"host", "")),
            _name(headers.get(b"x-forwarded-host", "").split(",")[0].strip()),
            _split(headers.get(b"origin", "")).hostname,
        ]
        return next((name for name in names if name in self._rules.links), "")

    def _address(self, scope: Message) -> str:
        """The address whose wrong passwords are counted; empty for visitors of a public link, who
        share one."""
        client = _client(scope)
        return "" if self._rules.links and THIS_MACHINE.trust(client) else network(client)

    def _visitor(self, scope: Message) -> str:
        """Whose pages are counted: an address, or the login token of a visitor of the public link."""
        return self._address(scope) or "".join(tokens(scope))

    async def _pass_on(self, scope: Message, path: str, run: str, receive: Receive, send: Send) -> None:
        """Before the login, the page of a run is the form of the list of runs."""
        of_run = self._rules.runs is not None and run and not needs_login(scope)
        app, limit = (
            self._rules.runs.serve(run) if of_run and self._rules.runs else self._app,
            UPLOAD_BYTES if path.startswith(("/gradio_api/upload", "/gradio_api/mcp")) else BODY_BYTES,
        )
        if path.rstrip("/") == "/login" and scope["method"] == "POST":
            send = self._counting(self._address(scope), send)
        elif path == "/" and needs_login(scope):
            app = _without_endpoints(app)
        elif PAGE_NAMED.fullmatch(path) and scope["method"] == "POST":
            app = self._of_a_known_page(app)
        elif path.rstrip("/") == "/gradio_api/queue/data":
            app = self._streams.answers(app)
        elif NAMED_BY_CONTENT.fullmatch(path):
            app = self._assets.of(app, path)
        if path in ("/", "/config"):
            app = GZipMiddleware(app, compresslevel=COMPRESSION)
        await Body(
            receive, send, limit, lambda: answer(send, 413, f"Too large: at most {limit // 1_000_000} MB.")
        ).through(app, scope)

    def _refusal(self, scope: Message, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        for check in (self._unknown, self._foreign, self._not_allowed):
            if refusal := check(scope, path, headers):
                return refusal
        if (
            path.rstrip("/") == "/login"
            and scope["method"] == "POST"
            and (wait := self._attempts.wait(self._address(scope)))
        ):
            return 429, f"Too many wrong passwords: wait {wait:.0f} seconds."
        if path.startswith("/gradio_api/heartbeat/") and not self._pages.admit(
            _client(scope), path.split("/")[3]
        ):
            return 429, TOO_MANY_PAGES
        return None

    def _unknown(self, scope: Message, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if STREAM_CLOSED.fullmatch(path) and scope["method"] == "POST":
            return None
        if not KNOWN.fullmatch(path) and not (self._rules.mcp and MCP.fullmatch(path)):
            return 404, "Not found."
        if path.startswith("/gradio_api/file=") and re.match(
            r"/*https?:", path.partition("=")[2], re.IGNORECASE
        ):
            return 404, "Not found: this server fetches nothing."
        return None

    def _foreign(self, scope: Message, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Requests of another page, or for another host name."""
        method, host = scope["method"], headers.get("host", "")
        if not self._rules.any_host and _name(host) not in LOCAL | self._rules.names:
            return (
                403,
                f"This page is not called '{host[:80]}': start it with --root-path https://NAME to give it "
                "a name.",
            )
        origin = headers.get("origin")
        if origin and not self._own(origin, headers, str(scope["scheme"])):
            return (
                403,
                "Another page asked for this: open this one itself. Behind a reverse proxy, start it with "
                "--behind-proxy ADDRESS.",
            )
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and method != "GET":
            return 403, "Another page asked for this: open this one itself."
        if path.rstrip("/") == "/logout":
            if method != "POST":
                return 405, "Logging out is a POST."
            if not origin and headers.get("sec-fetch-site") != "same-origin":
                return 403, "Another page may have asked for this: log out from this one."
        return None

    def _own(self, origin: str, headers: dict[str, str], scheme: str) -> bool:
        """Whether a request comes from this page: its origin is one that the page was given, or names the
        host that was asked, which a trusted proxy may have written elsewhere."""
        if origin.lower() in self._rules.origins:
            return True
        asked = headers.get("x-forwarded-host", "").split(",")[0].strip() or headers.get("host", "")
        if self._rules.names and not self._rules.any_host and _name(asked) not in LOCAL | self._rules.names:
            return False
        there = _split(origin)
        return there.netloc.lower() == asked.lower() and not (scheme == "https" and there.scheme == "http")

    def _not_allowed(self, scope: Message, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if not OPEN.fullmatch(path) and needs_login(scope):
            return 401, "Log in first: open the page itself."
        if CALLED.fullmatch(path) and not headers.get("content-type", "").startswith("application/json"):
            return 415, "Send JSON."
        if path.startswith("/gradio_api/upload"):
            if not self._rules.uploads:
                return 403, "This page is for reading: it takes no photos."
            if not self._rules.upload_room():
                return 503, "Too many uploads at once: try again in a minute."
        return None

    def _of_a_known_page(self, app: Application) -> Application:
        async def limited(scope: Message, receive: Receive, send: Send) -> None:
            body, again = await whole(receive)
            page = session_of(body)
            if self._pages.admit(self._visitor(scope), page):
                await self._streams.asks(app, page)(scope, again, send)
            else:
                await answer(send, 429, TOO_MANY_PAGES)

        return limited

    def _counting(self, client: str, send: Send) -> Send:
        """Wrong passwords are counted by address, each before it is checked. Those from the public link
        have no address of their own: they are answered after a delay."""
        if client:
            self._attempts.add(client)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                wrong = message["status"] in (400, 401, 422)
                if client and not wrong:
                    self._attempts.forgive(client)
                elif wrong and not client:
                    await asyncio.sleep(SLOWED)
            await send(message)

        return counted


def guarded(rules: FilterRules) -> dict[str, Any]:
    """Keyword arguments of the server's application that put `RequestFilter` before all of it. Gradio adds
    its own middleware outside of the given ones, which answers CORS preflights; so the filter is put around
    the whole when the application starts."""

    @asynccontextmanager
    async def started(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = RequestFilter(app.middleware_stack, rules)
        yield

    return {"middleware": [Middleware(Inner)], "lifespan": started}


class Inner:
    """Refuses requests that did not pass `RequestFilter`, in case the server starts without it."""

    def __init__(self, app: Application):
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and PASSED not in scope:
            await answer(send, 503, "This server did not start as it should.")
        else:
            await self._app(scope, receive, send)


def _without_endpoints(app: Application) -> Application:
    """The front page before anybody has logged in: Gradio writes the names and parameters of every endpoint
    into it."""

    async def front_page(scope: Message, receive: Receive, send: Send) -> None:
        scope = {**scope, "headers": [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]}
        start: Message = {}
        parts = bytearray()

        async def collected(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.extend(message.get("body", b""))
            if not message.get("more_body", False):
                body = _API_INFO.sub(rb'\1{"named_endpoints": {}, "unnamed_endpoints": {}}\2', bytes(parts))
                length = [(b"content-length", str(len(body)).encode())] if scope["method"] != "HEAD" else []
                start["headers"] = [
                    (k, v) for k, v in start["headers"] if k.lower() != b"content-length"
                ] + length
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await app(scope, receive, collected)

    return front_page


def _path(scope: Message) -> str:
    """Without the prefix of a proxy."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(root) or "/" if root and path.startswith(root + "/") else path


def _with_slash(run: str, scope: Message) -> bytes:
    """Where the page of a run is, relative to its address without the slash at its end."""
    query = bytes(scope.get("query_string", b""))
    return quote(run.rpartition("/")[2]).encode() + b"/" + (b"?" + query if query else b"")


def _query(scope: Message, path: str) -> bytes:
    """Without the parameters that Gradio's front page reserves, and fails on."""
    if path != "/":
        return bytes(scope.get("query_string", b""))
    return urlencode(
        [
            (k, v)
            for k, v in parse_qsl(bytes(scope.get("query_string", b"")).decode("latin-1"))
            if k not in GRADIOS_OWN
        ]
    ).encode()


def _name(host: str) -> str:
    """host:port -> host, in lower case, of IPv6 without brackets; empty where it is invalid."""
    return (_split(f"//{host}").hostname or "").lower() if host else ""


def _split(address: str) -> SplitResult:
    """The parts of an address; empty where it is invalid."""
    try:
        parts = urlsplit(address)
        _ = parts.hostname, parts.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _client(scope: Message) -> str:
    return str((scope.get("client") or ("",))[0])
