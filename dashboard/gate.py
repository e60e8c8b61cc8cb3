"""What a request must be before it reaches Gradio: a known path, of this page's own origin, small, and no guessing of passwords."""

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

GRADIOS_OWN = ("page", "deep_link")
LOCAL = {"127.0.0.1", "localhost", "::1"}
UPLOAD_BYTES, BODY_BYTES = 25_000_000, 1_000_000
SAME_PLACE, EVERYWHERE, MINUTE = 10, 60, 60.0
"""Wrong passwords from one address and from all, within so many seconds. Addresses can be made up, so that both are counted."""

_API = "info|upload|upload_progress|queue/join|queue/data|heartbeat/.+|cancel|reset|call/.+|file=.+|startup-events|theme.css|app_id|login_check|user"
KNOWN = re.compile(rf"/(|config|login|logout|theme.css|robots.txt|manifest.json|favicon.ico|(assets|static|svelte)/.+|gradio_api/({_API}))/?")
"""What the page and gradio_client use. Not here: /gradio_api/run and /api, which go around the queue; /proxy= and /file=http..., which fetch;
and what Gradio offers besides."""
MCP = re.compile(r"/gradio_api/mcp(/.*)?")

_PAGE = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
         "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors ")  # fmt: skip
_FILE = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox"


@dataclass
class Rules:
    """`names`: hosts of this page besides this machine's own, as of a public link. `any_host`: it may be asked for under others, too.
    `framed_by`: pages that may show this one inside. `upload_room`: whether another upload may be kept for the moment it is needed."""

    names: set[str] = field(default_factory=set)
    any_host: bool = False
    framed_by: str = "'self'"
    mcp: bool = False
    upload_room: Callable[[], bool] = lambda: True


class Gate:
    """An ASGI middleware; what it refuses gets one line."""

    def __init__(self, app: Application, rules: Rules):
        self._app, self._rules, self._failed = app, rules, Failures()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        path = _path(scope)
        send = self._with_headers(send, path)
        if path == "/healthz":
            await _answer(send, 200, '{"status": "ok"}', "application/json")
        elif refusal := self._refusal(scope, path, headers):
            await _answer(send, *refusal)
        else:
            login = path.rstrip("/") == "/login" and scope["method"] == "POST"
            limit = UPLOAD_BYTES if path.startswith(("/gradio_api/upload", "/gradio_api/mcp")) else BODY_BYTES
            counted = self._counting(_source(scope, headers), send) if login else send
            await Body(receive, counted, limit).through(self._app, {**scope, "query_string": _query(scope, path)})

    def _refusal(self, scope: Message, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        method = scope["method"]
        if not KNOWN.fullmatch(path) and not (self._rules.mcp and MCP.fullmatch(path)):
            return 404, "Not found."
        if path.startswith("/gradio_api/file=") and re.match(r"/*https?:", path.partition("=")[2], re.IGNORECASE):
            return 404, "Not found: this server fetches nothing."
        if not self._rules.any_host and _name(headers.get("host", "")) not in LOCAL | self._rules.names:
            return 403, f"This page is not called '{headers.get('host', '')[:80]}': start it with --root-path https://NAME to give it a name."
        origin = headers.get("origin")
        if origin and not _own(origin, headers) and urlsplit(origin).hostname not in self._rules.names:
            return 403, "Another page asked for this: open this one itself."
        if headers.get("sec-fetch-site") == "cross-site" and method != "GET":
            return 403, "Another page asked for this: open this one itself."
        if path.rstrip("/") == "/login" and method == "POST" and (wait := self._failed.wait(_source(scope, headers))):
            return 429, f"Too many wrong passwords: wait {wait:.0f} seconds."
        if path.startswith("/gradio_api/upload") and not self._rules.upload_room():
            return 503, "Too many uploads at once: try again in a minute."
        return None

    def _counting(self, source: str, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 401):
                self._failed.add(source)
            await send(message)

        return counted

    def _with_headers(self, send: Send, path: str) -> Send:
        policy = _FILE if path.startswith("/gradio_api/file=") else _PAGE + self._rules.framed_by
        added = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin", "x-robots-tag": "noindex, nofollow",
                 "permissions-policy": "camera=(self), microphone=(), geolocation=()", "content-security-policy": policy}  # fmt: skip

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message.get("headers", []) if k.decode("latin-1").lower() not in added]
                message["headers"] = kept + [(k.encode(), v.encode()) for k, v in added.items()]
            await send(message)

        return with_headers


class Failures:
    """Wrong passwords of the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._all = clock, deque[tuple[float, str]](maxlen=10 * EVERYWHERE)

    def add(self, source: str) -> None:
        self._all.append((self._clock(), source))

    def wait(self, source: str) -> float:
        """Seconds until this address may try again; 0 where it may now."""
        now = self._clock()
        while self._all and now - self._all[0][0] > MINUTE:
            self._all.popleft()
        mine = [when for when, who in self._all if who == source]
        for times, most in ((mine, SAME_PLACE), ([when for when, _ in self._all], EVERYWHERE)):
            if len(times) >= most:
                return MINUTE - (now - times[-most]) + 1
        return 0.0


class TooLarge(Exception):
    pass


class Body:
    """A request's body, counted as it comes in, whatever its header says."""

    def __init__(self, receive: Receive, send: Send, limit: int):
        self._receive, self._send, self._left, self._limit, self._begun = receive, send, limit, limit, False

    async def through(self, app: Application, scope: Message) -> None:
        said = next((v for k, v in scope["headers"] if k.lower() == b"content-length"), b"0")
        if not said.isdigit() or int(said) > self._limit:
            await self._refuse()
            return
        try:
            await app(scope, self._read, self._written)
        except TooLarge:
            if not self._begun:
                await self._refuse()

    async def _refuse(self) -> None:
        await _answer(self._send, 413, f"Too large: at most {self._limit // 1_000_000} MB.")

    async def _read(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLarge
        return message

    async def _written(self, message: Message) -> None:
        self._begun = True
        await self._send(message)


def _path(scope: Message) -> str:
    """Without what a proxy puts before it."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(root) or "/" if root and path.startswith(root + "/") else path


def _query(scope: Message, path: str) -> bytes:
    """Without the words that Gradio's front page takes for its own, and fails on."""
    if path != "/":
        return bytes(scope.get("query_string", b""))
    return urlencode([(k, v) for k, v in parse_qsl(bytes(scope.get("query_string", b"")).decode("latin-1")) if k not in GRADIOS_OWN]).encode()


def _name(host: str) -> str:
    """host:port -> host, in lower case, of IPv6 without brackets."""
    return (urlsplit(f"//{host}").hostname or "").lower() if host else ""


def _own(origin: str, headers: dict[str, str]) -> bool:
    """Whether a request comes from this page: its origin names the host that was asked, which a proxy may have written elsewhere."""
    hosts = [headers.get("host", ""), *headers.get("x-forwarded-host", "").split(",")]
    return urlsplit(origin).netloc.lower() in {host.strip().lower() for host in hosts if host.strip()}


def _source(scope: Message, headers: dict[str, str]) -> str:
    """Who asks, as a proxy says it or else by address."""
    return headers.get("x-forwarded-for", "").split(",")[0].strip() or str((scope.get("client") or ("",))[0])


async def _answer(send: Send, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
    body = text.encode()
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]})  # fmt: skip
    await send({"type": "http.response.body", "body": body})
