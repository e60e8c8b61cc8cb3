"""The stream of a page's answers goes on with an event that comes when Gradio would end it."""

import asyncio
from typing import Any

import pytest

from dashboard.server import streams
from dashboard.server.streams import END, Streams

DATA = {"type": "http", "path": "/gradio_api/queue/data", "query_string": b"session_hash=abc"}
JOIN = {"type": "http", "path": "/gradio_api/queue/join"}


class Page:
    """An opened page and Gradio, of which each stream brings one answer and its end."""

    def __init__(self, answers: list[int] | None = None) -> None:
        self.streams, self.left = Streams(), asyncio.Event()
        self.got, self.statuses = list[bytes](), answers or [200] * 9
        self.starts, self.accepted = list[int](), 0

    async def gradio(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.statuses.pop(0)})
        await send({"type": "http.response.body", "body": b"data: answer\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": END + b"}\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.starts.append(message["status"])
        else:
            self.got.append(message["body"][: len(END)])
            assert message["more_body"] != self.got[-1].startswith(END)  # the end is the last of the response

    async def stream(self) -> None:
        await self.streams.lasting(self.gradio)(DATA, self.receive, self.send)

    async def join(self, page: str = "abc", status: int = 200, path: str = JOIN["path"]) -> None:
        async def queue(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": status})

        async def answered(message: Any) -> None:
            self.accepted += 1

        await self.streams.joining(queue, page)(JOIN | {"path": path}, self.receive, answered)


ANSWER = b"data: answer\n\n"


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_an_event_within_a_moment_goes_on_in_the_same_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        page = Page()
        stream = asyncio.create_task(page.stream())
        await turns()
        assert page.got == [ANSWER]  # and no end
        await page.join("of another page")
        await page.join(status=503)  # the queue was full
        await page.join(path="/gradio_api/cancel")
        await turns()
        assert page.got == [ANSWER]
        await page.join()
        await turns()
        assert page.got == [ANSWER] * 2
        monkeypatch.setattr(streams, "LINGER", 0.01)
        await page.join()
        await stream
        assert page.got == [ANSWER] * 3 + [END]
        assert page.starts == [200]

    asyncio.run(check())


def test_an_event_just_after_the_end_is_accepted_when_the_page_has_heard_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "LINGER", 0.0)
    monkeypatch.setattr(streams, "SETTLE", 1000.0)
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def check() -> None:
        page = Page()
        await page.join()
        await page.stream()
        assert page.got == [ANSWER, END]
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await page.join("of another page")
        assert waits == []
        await page.join()
        assert page.accepted == 3

    asyncio.run(check())
    assert len(waits) == 1
    assert 900 < waits[0] <= 1000


def test_a_page_that_leaves_ends_its_stream() -> None:
    async def check() -> None:
        page = Page()
        stream = asyncio.create_task(page.stream())
        await turns()
        page.left.set()
        await page.join()  # by another stream: this one must not take its answers
        await stream
        assert page.got == [ANSWER]
        assert not page.streams._ended  # an event by another stream need not wait

    asyncio.run(check())


def test_a_refusal_later_on_ends_the_stream_as_gradio_would() -> None:
    async def check() -> None:
        page = Page([200, 401])
        stream = asyncio.create_task(page.stream())
        await turns()
        await page.join()
        await stream
        assert page.starts == [200]
        assert page.got == [ANSWER, END]

    asyncio.run(check())
