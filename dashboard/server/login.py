"""Login: wrong passwords, the cookie, and the end of a session."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.requests import cookie_parser

ATTEMPTS, MINUTE = 10, 60.0
"""Wrong passwords that one address may send within so many seconds. There is no limit over all addresses: it
would let one visitor lock out all others."""
ADDRESSES = 10_000  # maximum number of addresses that are counted

COOKIE, PLAIN_COOKIE = (
    "access-token-",
    "access-token-unsecure-",
)  # as Gradio calls them, each followed by the server's own name


class Attempts:
    """Wrong passwords of the last minute, by the address that sent them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._wrong = clock, OrderedDict[str, deque[float]]()

    def add(self, client: str) -> None:
        """Count an attempt, before it is known to be wrong: many at once would all pass otherwise."""
        self._wrong.setdefault(client, deque(maxlen=ATTEMPTS)).append(self._clock())
        self._wrong.move_to_end(client)
        while len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)

    def forgive(self, client: str) -> None:
        """Take one back: its password was right."""
        if times := self._wrong.get(client):
            times.pop()

    def wait(self, client: str) -> float:
        """Seconds until this address may try again; 0 where it may now."""
        times = self._wrong.get(client, ())
        now = self._clock()
        recent = [when for when in times if now - when <= MINUTE]
        if not recent:
            self._wrong.pop(client, None)
        return MINUTE - (now - recent[0]) + 1 if len(recent) >= ATTEMPTS else 0.0


def needs_login(scope: MutableMapping[str, Any]) -> bool:
    """Whether the page has a password and this request is not logged in."""
    app = scope.get("app")
    if app is None or getattr(app, "auth", None) is None:
        return False
    return not any(token in app.tokens for token in tokens(scope))


def log_out(scope: MutableMapping[str, Any]) -> None:
    """End the session of this request, and no other."""
    for token in tokens(scope):
        scope["app"].tokens.pop(token, None)


def tokens(scope: MutableMapping[str, Any]) -> list[str]:
    """Gradio's access tokens in the cookies of a request."""
    name, cookies = str(getattr(scope.get("app"), "cookie_id", "")), dict[str, str]()
    for header, value in scope["headers"]:
        if header.lower() == b"cookie":
            cookies |= cookie_parser(value.decode("latin-1"))
    return [cookies[prefix + name] for prefix in (COOKIE, PLAIN_COOKIE) if prefix + name in cookies]


def one_cookie(headers: list[tuple[bytes, bytes]], https: bool, framed: bool) -> list[tuple[bytes, bytes]]:
    """Of the two cookies that Gradio sets, the one that fits: sent over HTTPS alone where the page is asked
    for by HTTPS, and not with the requests of other sites, unless the page is shown inside another
    (`framed`)."""
    kept = []
    for name, value in headers:
        if name.lower() == b"set-cookie" and value.startswith(COOKIE.encode()):
            if value.startswith(PLAIN_COOKIE.encode()) == https:
                continue
            parts = [part.strip() for part in value.decode("latin-1").split(";")]
            rest = [
                part
                for part in parts[1:]
                if part.partition("=")[0].lower() not in ("samesite", "secure", "httponly")
            ]
            flags = [
                "HttpOnly",
                "SameSite=None" if https and framed else "SameSite=Lax",
                *(["Secure"] if https else []),
            ]
            value = "; ".join([parts[0], *rest, *flags]).encode("latin-1")
        kept.append((name, value))
    return kept


def expired(scope: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Headers that delete the cookies."""
    name = str(getattr(scope.get("app"), "cookie_id", ""))
    return [
        (b"set-cookie", f"{prefix}{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax".encode())
        for prefix in (COOKIE, PLAIN_COOKIE)
    ]
