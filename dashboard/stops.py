"""Who asked to stop, and long work in steps between which others get the network."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dashboard.context import Context

Result = TypeVar("Result")


class Stops:
    """By visitor."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, who: str) -> None:
        with self._lock:
            self._asked.discard(who)

    def stop(self, who: str) -> None:
        with self._lock:
            self._asked.add(who)

    def heard(self, who: str) -> None:
        """Raises `Stopped` where this visitor asked for it."""
        from explain.case import Stopped

        if who in self._asked:
            raise Stopped


def in_turns(ctx: "Context", who: str, work: Iterator[Result]) -> Iterator[Result]:
    """What `work` yields; each of its steps has the network alone, and between them others may have it. Raises `Stopped` where `who` asked
    for it; nothing of the work is left then."""
    try:
        while True:
            ctx.stops.heard(who)
            with ctx.classifier():  # released before the result is passed on: the next step may be another thread's
                found = next(work, None)
            if found is None:
                return
            yield found
    finally:
        if (close := getattr(work, "close", None)) is not None:
            close()
