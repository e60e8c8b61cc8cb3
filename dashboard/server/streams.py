"""Says in the answer to an event how many streams of answers to the page have ended by then."""

from pathlib import Path
from urllib.parse import parse_qs

from cachetools import LRUCache

from dashboard.server.bodies import Application, Message, Receive, Send

END = b'data: {"msg":"close_stream"'
HEADER = b"x-ended-streams"
PAGES = 20_000
"""The last pages, of which streams are counted."""


class Streams:
    """Gradio ends the stream of a page when the last event has been answered, and the page opens another for
    its next event, unless it has not heard of the end yet: then the answer would never come. So the answer to
    an event says how many streams of the page have ended (`HEADER`), and `streams.js` in the page hands it on
    when the page has heard of as many."""

    def __init__(self) -> None:
        self._ended: LRUCache[str, int] = LRUCache(PAGES)

    def answers(self, app: Application) -> Application:
        """Of the stream of answers to a page."""

        async def stream(scope: Message, receive: Receive, send: Send) -> None:
            page = _page(scope)

            async def watched(message: Message) -> None:
                if message.get("body", b"").startswith(END):
                    self._ended[page] = self._ended.get(page, 0) + 1
                await send(message)

            await app(scope, receive, watched)

        return stream

    def asks(self, app: Application, page: str) -> Application:
        """Of what a page posts; the answer to an event that it asks for has the `HEADER`."""

        async def ask(scope: Message, receive: Receive, send: Send) -> None:
            async def answered(message: Message) -> None:
                if message["type"] == "http.response.start":
                    ended = HEADER, str(self._ended.get(page, 0)).encode()
                    message = {**message, "headers": [*message.get("headers", []), ended]}
                await send(message)

            joins = str(scope["path"]).rstrip("/").endswith("/queue/join")
            await app(scope, receive, answered if joins else send)

        return ask


def in_page() -> str:
    """The script, for the head of the page."""
    return "<script>" + Path(__file__).with_suffix(".js").read_text(encoding="utf-8") + "</script>"


def _page(scope: Message) -> str:
    asked = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1"))
    return asked.get("session_hash", [""])[0]
