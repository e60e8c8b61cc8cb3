"""A request's body: counted as it comes in, and read in advance where the page that sent it must be known."""

import json
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

PAGES, MINUTE, REMEMBERED = 40, 60.0, 20_000
"""Pages that one address may open within so many seconds; each has a place among the server's sessions, which
are limited."""


OF_A_LINK = 400  # of a public link without a password, whose visitors cannot be told from one another


class TooLarge(Exception):
    pass


class Body:
    """A request's body, counted as it comes in, whatever its header says. `refuse`: answers where it is more
    than `limit` bytes."""

    def __init__(self, receive: Receive, send: Send, limit: int, refuse: Callable[[], Awaitable[None]]):
        self._receive, self._send, self._left, self._limit, self._refuse, self._begun = (
            receive,
            send,
            limit,
            limit,
            refuse,
            False,
        )

    async def through(self, app: Application, scope: Message) -> None:
        declared = next((v for k, v in scope["headers"] if k.lower() == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            await self._refuse()
            return
        try:
            await app(scope, self._read, self._written)
        except TooLarge:
            if not self._begun:
                await self._refuse()

    async def _read(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLarge
        return message

    async def _written(self, message: Message) -> None:
        self._begun = True
        await self._send(message)


async def whole(receive: Receive) -> tuple[bytes, Receive]:
    """The body, and a `receive` that returns it once more."""
    parts, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts += message.get("body", b"")
        more = message.get("more_body", False)
    body, replayed = bytes(parts), False

    async def again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def session_of(body: bytes) -> str:
    """The page that a JSON body names; empty where it names none."""
    with suppress(ValueError, RecursionError):
        content = json.loads(body)
        if isinstance(content, dict) and isinstance(name := content.get("session_hash"), str):
            return name
    return ""


class Pages:
    """Limits the pages that one visitor opens, so that the state of other visitors is kept."""

    def __init__(self, clock: Callable[[], float]):
        self._clock, self._known, self._opened = (
            clock,
            OrderedDict[str, None](),
            OrderedDict[str, deque[float]](),
        )

    def admit(self, client: str, session: str) -> bool:
        """Whether this page is known, or its address may open another. A request that names no page counts as
        one of its own."""
        if session and session in self._known:
            self._known.move_to_end(session)
            return True
        most = PAGES if client else OF_A_LINK
        times, now = self._opened.setdefault(client, deque(maxlen=most)), self._clock()
        self._opened.move_to_end(client)
        if len(times) == most and now - times[0] <= MINUTE:
            return False
        times.append(now)
        if session:
            self._known[session] = None
        for kept in (self._known, self._opened):
            while len(kept) > REMEMBERED:
                kept.popitem(last=False)
        return True


async def answer(
    send: Send,
    status: int,
    text: str,
    kind: str = "text/plain; charset=utf-8",
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Answer a request with a text."""
    body = text.encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", kind.encode()),
                (b"content-length", str(len(body)).encode()),
                *more,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
