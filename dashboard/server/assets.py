"""Gradio's scripts and styles, kept as they were sent: it compresses each anew for every page that opens."""

import re

from cachetools import LRUCache

from dashboard.server.bodies import Application, Message, Receive, Send

NAMED_BY_CONTENT = re.compile(r"/assets/[\w./-]+-[\w-]{8}\d*\.\w+")
"""Paths of files that get another name when they change."""
Key = tuple[str, tuple[bytes, ...]]
KEPT_BYTES = 16_000_000  # an opened page needs 1.1 MB


class Assets:
    """Answers to requests for files that are named by their content."""

    def __init__(self) -> None:
        self._kept: LRUCache[Key, list[Message]] = LRUCache(KEPT_BYTES, getsizeof=_bytes)

    def of(self, app: Application, path: str) -> Application:
        """`path`: without the prefix of a run or a proxy, as the files are the same for all."""

        async def sent(scope: Message, receive: Receive, send: Send) -> None:
            headers = dict(scope["headers"])
            taken = headers.get(b"accept-encoding", b"")
            key = path, tuple(name for name in (b"br", b"gzip") if name in taken)
            if scope["method"] != "GET" or b"range" in headers:
                await app(scope, receive, send)
            elif key in self._kept:
                for message in self._kept[key]:
                    await send(dict(message))
            else:
                await self._first(app, key, scope, receive, send)

        return sent

    async def _first(self, app: Application, key: Key, scope: Message, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def noted(message: Message) -> None:
            answer.append(dict(message))
            await send(message)

        await app(scope, receive, noted)
        if answer and _whole(answer) and _bytes(answer) <= KEPT_BYTES:
            self._kept[key] = _for_everybody(answer)


def _whole(answer: list[Message]) -> bool:
    """Whether it is the whole file, without a cookie."""
    return bool(
        answer[0].get("status") == 200
        and answer[-1]["type"] == "http.response.body"
        and not answer[-1].get("more_body", False)
        and not any(name.lower() == b"set-cookie" for name, _ in answer[0].get("headers", []))
    )


def _for_everybody(answer: list[Message]) -> list[Message]:
    """Without the origin of the one who asked, which browsers send with scripts of their own page, too."""
    headers = answer[0].get("headers", [])
    kept = [(name, value) for name, value in headers if not name.lower().startswith(b"access-control-")]
    return [{**answer[0], "headers": kept}, *answer[1:]]


def _bytes(answer: list[Message]) -> int:
    return sum(len(message.get("body", b"")) for message in answer)
