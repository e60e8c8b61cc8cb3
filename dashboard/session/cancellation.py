"""Who asked to stop, whose time is up, and long work in steps between which others get the network."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from models.errors import Cancelled, UserError

if TYPE_CHECKING:
    from dashboard.session.context import Context

Result = TypeVar("Result")
KEPT = 1000  # visitors, of whom most are gone


class Cancellation:
    """By visitor. `limit`: seconds that the work of one may take."""

    def __init__(self, limit: float | None = None) -> None:
        self._limit, self._asked, self._began = limit, OrderedDict[str, None](), OrderedDict[str, float]()
        self._lock = threading.Lock()

    def begin(self, who: str) -> None:
        with self._lock:
            self._asked.pop(who, None)
            self._began[who] = time.monotonic()
            _newest(self._began)

    def stop(self, who: str) -> None:
        with self._lock:
            self._asked[who] = None
            self._began.pop(who, None)
            _newest(self._asked)

    def raise_if_cancelled(self, who: str) -> None:
        """Raises `Cancelled` where this visitor asked for it, UserError where the time is up."""

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


def _newest(kept: "OrderedDict[str, Any]") -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)


def in_turns(ctx: "Context", who: str, work: Iterator[Result]) -> Iterator[Result]:
    """What `work` yields; each of its steps has the network alone, and between them others may have it.
    Raises `Cancelled` where `who` asked for it; nothing of the work is left then."""
    try:
        while True:
            ctx.cancellation.raise_if_cancelled(who)
            with (
                ctx.classifier()
            ):  # released before the result is passed on: the next step may be another thread's
                found = next(work, None)
            if found is None:
                return
            yield found
    finally:
        if (close := getattr(work, "close", None)) is not None:
            close()
