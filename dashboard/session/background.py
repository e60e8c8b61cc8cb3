"""Results that take too long for an answer: one thread computes them for all, who wait without one."""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor

from models.errors import Cancelled


class Background:
    """One after the other, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "background")
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[None]] = {}
        self._ended = False

    async def done(self, key: Hashable, compute: Callable[[], object]) -> None:
        """Wait until what has this key is computed, by the first who asks for it; whoever leaves stops nobody
        else's. `compute` keeps its result itself; what it raises is raised to all that wait. Raises Cancelled
        after the end."""
        with self._lock:
            self.raise_if_ended()
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = self._pool.submit(self._compute, compute)
                running.add_done_callback(lambda _: self._running.pop(key, None))
        await asyncio.shield(asyncio.wrap_future(running))

    def _compute(self, compute: Callable[[], object]) -> None:
        self.raise_if_ended()
        compute()

    def raise_if_ended(self) -> None:
        """Raises Cancelled after the end; a computation calls it between its steps."""
        if self._ended:
            raise Cancelled("the run is closed")

    def end(self) -> None:
        """End what is computed and what waits for it; returns when nothing runs any more."""
        with self._lock:
            self._ended = True
        self._pool.shutdown()
