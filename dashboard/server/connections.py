"""Connections to the server: how many there may be, and how long one may take to say what it wants."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import uvicorn
from gradio import http_server
from uvicorn.protocols.http.h11_impl import H11Protocol

from dashboard.server.proxies import network

MOST, FEWEST = 1000, 32  # connections at once, by what the system allows
HEAD, PAUSE, BODY, WRITE = 10.0, 20.0, 300.0, 60.0
"""Seconds for a request's head, between two pieces of its body, for all of its body, and until a client takes
what it is sent."""
CHECKED_EVERY = 1.0


class Connection(H11Protocol):
    """uvicorn limits how long an answered connection may idle, and how many requests run at once. It waits
    for ever for a request that comes in part or not at all: such a connection is closed here after a while,
    and at once where its place is needed. (uvicorn's own `limit_concurrency` answers 503 to everybody as soon
    as so many connections are open, asked for something or not.)"""

    most = MOST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._free_since = self._heard = self._asked_at = self.loop.time()
        self._blocked_since: float | None = None
        if len(self.connections) > self.most and not self._make_room():
            self._abort()
            return
        self._clock = self.loop.call_later(CHECKED_EVERY, self._check)

    def data_received(self, data: bytes) -> None:
        was_free, self._heard = self._free, self.loop.time()
        super().data_received(data)
        if was_free and not self._free:
            self._asked_at = self.loop.time()

    def on_response_complete(self) -> None:
        self._free_since = self._asked_at = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = None
        super().resume_writing()

    @property
    def _free(self) -> bool:
        """Whether no request is under way on this connection."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _overdue(self) -> bool:
        now = self.loop.time()
        if self._blocked_since is not None:
            return now - self._blocked_since > WRITE
        if self._free:
            return now - self._free_since > HEAD
        if self.cycle.more_body:
            silent = (
                now - self._heard > PAUSE and not self.flow.read_paused
            )  # paused: we are who does not read
            return silent or now - self._asked_at > BODY
        return False

    def _check(self) -> None:
        if self.transport.is_closing():
            return
        if self._overdue:
            self._abort()
        else:
            self._clock = self.loop.call_later(CHECKED_EVERY, self._check)

    def _abort(self) -> None:
        self.connections.discard(self)
        self.transport.abort()

    def _make_room(self) -> bool:
        """Close the oldest connection that waits without a request, of the address that has most of these: a
        browser that keeps its few for the next click loses none to one that opens hundreds. Or else the
        newest of the address that has most. False where there is neither."""
        others = [c for c in self.connections if isinstance(c, Connection) and c is not self]
        if free := [c for c in others if c._free]:
            waiting = Counter(c._address for c in free)
            min(free, key=lambda c: (-waiting[c._address], c._free_since))._abort()
            return True
        counts = Counter(c._address for c in others)
        greediest, number = counts.most_common(1)[0]
        if counts[self._address] + 1 >= number:
            return False
        max((c for c in others if c._address == greediest), key=lambda c: c._free_since)._abort()
        return True

    @property
    def _address(self) -> str:
        return network(self.client[0]) if self.client else ""


@contextmanager
def limited() -> Iterator[None]:
    """Within it, Gradio starts its server with our limits: it has no parameter for them, and the size of the
    queue of the socket cannot be changed later."""
    descriptors = _descriptors()
    most, waiting = max(FEWEST, min(MOST, descriptors * 3 // 4 - 128)), max(8, min(64, descriptors // 8))
    # asyncio takes `backlog` connections at a time, each with a descriptor, before one of them can be closed
    kept: Any = http_server.uvicorn
    http_server.uvicorn = SimpleNamespace(
        Config=partial(  # type: ignore[assignment]
            uvicorn.Config,
            http=type("LimitedConnection", (Connection,), {"most": most}),
            backlog=waiting,
            limit_concurrency=most + waiting + 1,
            proxy_headers=False,
            server_header=False,
        )
    )
    try:
        yield
    finally:
        http_server.uvicorn = kept


def _descriptors() -> int:
    """How many files and connections this process may have open; raised first where the system lets us."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 2 * MOST
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST if most == resource.RLIM_INFINITY else min(most, 2 * MOST)
    if now < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            now = wanted
        except (ValueError, OSError):  # macOS has a lower limit of its own
            pass
    return now
