"""The streams of answers that pages keep open: each outlasts its last event for a moment."""

import asyncio
import contextlib
from typing import Any, Literal
from urllib.parse import parse_qs

from cachetools import TTLCache

from dashboard.server.bodies import Application, Message, Receive, Send

LINGER = 1.0
"""Seconds for which a stream waits for the next event of its page."""
SETTLE = 0.5
"""Seconds after the end of a stream in which its page may not have heard of it yet."""
END = b'data: {"msg":"close_stream"'
REMEMBERED = 20_000


class Streams:
    """Gradio ends the stream of a page when the last event has been answered. The page opens another for its
    next event, unless it has not heard of the end yet: then the answer never comes. Here a stream goes on
    with an event that comes within `LINGER`, and an event that comes just after the end is accepted when the
    page must have heard of it."""

    def __init__(self) -> None:
        self._joined = dict[str, asyncio.Event]()  # of pages with an open stream
        self._ended: TTLCache[str, float] = TTLCache(REMEMBERED, SETTLE)

    def lasting(self, app: Application) -> Application:
        """Of the answers to a page."""

        async def stream(scope: Message, receive: Receive, send: Send) -> None:
            page = _page(scope)
            joined = self._joined[page] = asyncio.Event()
            response, follows = _Response(send, joined), ""
            try:
                await app(scope, receive, response.send)
                while response.goes_on and (follows := await _next(joined, receive)) == "event":
                    response.resume()
                    await app(scope, receive, response.send)
            finally:
                if self._joined.get(page) is joined:
                    del self._joined[page]
            if response.ending and follows != "left":
                self._ended[page] = asyncio.get_running_loop().time()
                await response.end()

        return stream

    def joining(self, app: Application, page: str) -> Application:
        """Of what a page posts: an event that it asks for counts."""

        async def join(scope: Message, receive: Receive, send: Send) -> None:
            async def accepted(message: Message) -> None:
                if message["type"] == "http.response.start" and message["status"] == 200:
                    if joined := self._joined.get(page):
                        joined.set()
                    elif (ended := self._ended.get(page)) is not None:
                        await asyncio.sleep(ended + SETTLE - asyncio.get_running_loop().time())
                await send(message)

            joins = str(scope["path"]).rstrip("/").endswith("/queue/join")
            await app(scope, receive, accepted if joins else send)

        return join


class _Response:
    """What the page gets of several streams, as one. `ending`: the last of them has come to its end, which
    is held back; `goes_on`: another may follow."""

    def __init__(self, send: Send, joined: asyncio.Event):
        self._send, self._joined = send, joined
        self._begun, self._broken, self._held = False, False, list[Message]()

    @property
    def ending(self) -> bool:
        return bool(self._held)

    @property
    def goes_on(self) -> bool:
        return self.ending and not self._broken

    def resume(self) -> None:
        self._last, self._held = self._held, []
        self._joined.clear()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._begun and message["status"] != 200:  # such as after the page's login has expired
                self._broken, self._held = True, self._last
            if self._begun:
                return
            self._begun = True
        elif self._broken:
            return
        elif self._held or message.get("body", b"").startswith(END):
            self._held.append(message)
            return
        else:
            self._joined.clear()  # Gradio decides next whether this was the last answer
        await self._send(message)

    async def end(self) -> None:
        """At once: where the page hears of the end before the response has ended, it calls that an error."""
        body = b"".join(message.get("body", b"") for message in self._held)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


async def _next(joined: asyncio.Event, receive: Receive) -> Literal["event", "left", ""]:
    """Whether another event comes in time, or the page leaves."""
    follows, leaves = asyncio.ensure_future(joined.wait()), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({follows, leaves}, timeout=LINGER, return_when=asyncio.FIRST_COMPLETED)
        return "left" if leaves.done() else "event" if joined.is_set() else ""
    finally:
        for task in (follows, leaves):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _page(scope: Message) -> str:
    asked: dict[str, Any] = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1"))
    return str(asked.get("session_hash", [""])[0])
