"""No answer is lost between two streams of answers: the server says how many have ended."""

import asyncio
from typing import Any

from dashboard.server.streams import END, HEADER, Streams

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

    async def hears(self, page: str = "abc", path: str = JOIN) -> int | None:
        """How many streams have ended, as the answer to an event says."""
        headers = list[Any]()

        async def gradio(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [OTHER_HEADER]})

        async def send(message: Any) -> None:
            headers.extend(message["headers"])

        await self.streams.asks(gradio, page)({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
        assert headers[0] == OTHER_HEADER
        return int(dict(headers)[HEADER]) if len(headers) > 1 else None


def test_an_event_says_how_many_streams_have_ended() -> None:
    """As soon as Gradio has decided so, before the page can know."""

    async def check() -> None:
        page = Page()
        assert await page.hears() == 0
        stream = page.opened()
        await page.goes_on(b"data: one\n\n")
        assert await page.hears() == 0
        await page.goes_on(END + b"}\n\n")
        assert await page.hears() == 1
        assert not stream.done()
        assert await page.hears("of another page") == 0
        assert await page.hears(path="/gradio_api/cancel") is None  # it has no answer in the stream
        await page.goes_on(None)
        following = page.opened()
        await page.goes_on(b"data: two\n\n")
        assert stream.done()
        assert await page.hears() == 1
        await page.goes_on(END + b"}\n\n", None)
        await following
        assert await page.hears() == 2
        whole = [END + b"}\n\n", b""]
        assert page.got == [b"start", b"data: one\n\n", *whole, b"start", b"data: two\n\n", *whole]

    asyncio.run(check())


def test_a_stream_that_breaks_has_not_ended() -> None:
    """The page hears of no end, so it must not wait for one."""

    async def check() -> None:
        page = Page()
        stream = page.opened()
        await page.goes_on(b"data: one\n\n")
        stream.cancel()
        await asyncio.wait([stream])
        assert await page.hears() == 0

    asyncio.run(check())
