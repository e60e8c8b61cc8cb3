"""Cancellation by visitor, time limits, and long work in steps between which others get the network."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from cachetools import FIFOCache

from dashboard.session.types import HoldClassifier
from models.errors import Cancelled, UserError

Result = TypeVar("Result")
KEPT = 1000  # visitors, of whom most are gone


class Cancellation:
    """By visitor. `limit`: of the work of one visitor, in seconds."""

    def __init__(self, limit: float | None = None) -> None:
        self._limit, self._asked, self._began = limit, FIFOCache[str, None](KEPT), FIFOCache[str, float](KEPT)
        self._stops, self._lock = FIFOCache[str, int](KEPT), threading.Lock()

    def begin(self, who: str) -> None:
        with self._lock:
            self._asked.pop(who, None)
            self._began[who] = time.monotonic()

    def stop(self, who: str) -> None:
        with self._lock:
            self._asked[who] = None
            self._stops[who] = self._stops.get(who, 0) + 1
            self._began.pop(who, None)

    def still_wanted(self, who: str) -> Callable[[], None]:
        """What raises `Cancelled` once this visitor has asked for it, or left, after this call: for work that
        waits, beside other work of the same visitor."""
        before = self._stops.get(who, 0)

        def raise_if_stopped() -> None:
            if self._stops.get(who, 0) != before:
                raise Cancelled

        return raise_if_stopped

    def raise_if_cancelled(self, who: str) -> None:
        """Raises `Cancelled` where this visitor asked for it, UserError where the time limit is reached."""
        if who in self._asked:
            raise Cancelled
        if (
            self._limit is not None
            and time.monotonic() - self._began.get(who, time.monotonic()) > self._limit
        ):
            raise UserError(
                f"This takes longer than the {self._limit:.0f} s that visitors have: choose a cheaper "
                "method, or fewer steps."
            )


def in_turns(
    work: Iterator[Result], classifier: HoldClassifier, check: Callable[[], None]
) -> Iterator[Result]:
    """The results of `work`. Each of its steps holds the network; between two steps others may have it.
    `check` runs before each step: what it raises (`Cancelled`) ends and closes the work."""
    try:
        while True:
            check()
            with (
                classifier()
            ):  # released before the result is passed on: another thread may take the next step
                result = next(work, None)
            if result is None:
                return
            yield result
    finally:
        if (close := getattr(work, "close", None)) is not None:
            close()
