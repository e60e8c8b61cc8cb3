"""No answer is lost between two streams of answers: the server says whether one is open."""

import asyncio
from typing import Any

from dashboard.server.streams import END, NO_STREAM, Streams

DATA = {"type": "http", "path": "/gradio_api/queue/data", "query_string": b"session_hash=abc"}
JOIN = "/gradio_api/queue/join"
OTHER_HEADER = (b"content-type", b"application/json")


class Page:
    """An opened page, and Gradio, whose stream goes on as far as it is told."""

    def __init__(self) -> None:
        self.streams, self.said = Streams(), list[list[Any]]()
        self.body: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.got = list[bytes]()

    async def gradio(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (body := await self.body.get()) is not None:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(self, message: Any) -> None:
        self.got.append(message.get("body", b"start"))

    def opened(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.streams.answers(self.gradio)(DATA, None, self.send))  # type: ignore[arg-type]

    async def goes_on(self, *bodies: bytes | None) -> None:
        for body in bodies:
            self.body.put_nowait(body)
        for _ in range(10):
            await asyncio.sleep(0)

    async def hears(self, page: str = "abc", path: str = JOIN) -> bool:
        """Whether the answer to an event says that there is no stream."""
        headers = list[Any]()

        async def gradio(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [OTHER_HEADER]})

        async def send(message: Any) -> None:
            headers.extend(message["headers"])

        await self.streams.asks(gradio, page)({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
        assert headers[0] == OTHER_HEADER
        return NO_STREAM in headers


def test_an_event_says_whether_the_stream_has_ended() -> None:
    """As soon as Gradio has decided so, before the page can know."""

    async def check() -> None:
        page = Page()
        assert await page.hears()
        stream = page.opened()
        await page.goes_on(b"data: one\n\n")
        assert not await page.hears()
        assert await page.hears("of another page")
        await page.goes_on(END + b"}\n\n")
        assert await page.hears()
        assert not stream.done()
        assert not await page.hears(path="/gradio_api/cancel")  # it has no answer in the stream
        following = page.opened()
        await asyncio.sleep(0)
        await page.goes_on(None)  # of the first, which waits longer
        assert stream.done()
        assert not await page.hears()
        await page.goes_on(b"data: two\n\n", END + b"}\n\n", None)
        await following
        assert await page.hears()
        assert page.got == [b"start", b"data: one\n\n", END + b"}\n\n", b"start", b""] + [
            b"data: two\n\n",
            END + b"}\n\n",
            b"",
        ]
        assert not page.streams._open  # nothing is kept of pages without a stream

    asyncio.run(check())


def test_a_stream_that_breaks_has_ended() -> None:
    async def check() -> None:
        page = Page()
        stream = page.opened()
        await page.goes_on(b"data: one\n\n")
        assert not await page.hears()
        stream.cancel()
        await asyncio.wait([stream])
        assert await page.hears()

    asyncio.run(check())
