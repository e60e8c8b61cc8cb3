"""Says in the answer to an event whether the stream of the page's answers has ended by then."""

from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

from dashboard.server.bodies import Application, Message, Receive, Send

END = b'data: {"msg":"close_stream"'
NO_STREAM = (b"x-answers", b"ended")


class Streams:
    """Gradio ends the stream of a page when the last event has been answered, and the page opens another for
    its next event, unless it has not heard of the end yet: then the answer would never come. So the answer to
    an event says that no stream is open (`NO_STREAM`), and `streams.js` in the page hands it on when the page
    has heard of the end, too."""

    def __init__(self) -> None:
        self._open = Counter[str]()  # pages

    def answers(self, app: Application) -> Application:
        """Of the stream of answers to a page."""

        async def stream(scope: Message, receive: Receive, send: Send) -> None:
            page, ended = _page(scope), False

            def end() -> None:
                nonlocal ended
                if not ended:
                    self._open[page] -= 1
                    self._open += Counter()  # forgets pages without a stream
                ended = True

            async def watched(message: Message) -> None:
                if message.get("body", b"").startswith(END):
                    end()
                await send(message)

            self._open[page] += 1
            try:
                await app(scope, receive, watched)
            finally:
                end()

        return stream

    def asks(self, app: Application, page: str) -> Application:
        """Of what a page posts; of an event that it asks for, with `NO_STREAM` where it is so."""

        async def ask(scope: Message, receive: Receive, send: Send) -> None:
            async def answered(message: Message) -> None:
                if message["type"] == "http.response.start" and page not in self._open:
                    message = {**message, "headers": [*message.get("headers", []), NO_STREAM]}
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
