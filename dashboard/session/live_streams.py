"""Streams of a camera: who looks live, for how long, and one frame at a time."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from explain.methods.over_time import ExponentialMean
from models.errors import UserError
from models.faces.tracking import FaceTracker

MOST = 4
"""Streams at a time; each takes a thread of the server while it waits for the network."""
GONE = 10.0
"""Seconds without a frame after which a stream has ended."""
OVER = "Your {limit:.0f} s are over: start again."
ENDED = "This stream has ended: start again."
FULL = "{count} people look live at the moment: try again in a minute."


@dataclass(eq=False)
class Stream:
    """What is known from frame to frame: a box, and a mean of probabilities; no picture."""

    began: float
    last: float
    tracker: FaceTracker | None = None
    mean: ExponentialMean = field(default_factory=ExponentialMean)
    busy: threading.Lock = field(default_factory=threading.Lock)


class LiveStreams:
    """By key. `limit`: seconds that a stream may last, None for any time; `tracker`: makes what follows the
    face of a new stream, None where faces are not looked for."""

    def __init__(
        self,
        limit: float | None = None,
        tracker: Callable[[], FaceTracker] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._limit, self._tracker, self.clock = limit, tracker, clock
        self._open, self._lock = dict[str, Stream](), threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self) -> str:
        """The key of a new stream. Raises UserError where there are as many as there may be."""
        now = self.clock()
        with self._lock:
            for key in [k for k, stream in self._open.items() if now - stream.last > GONE]:
                del self._open[key]
            if len(self._open) >= MOST:
                raise UserError(FULL.format(count=MOST))
            key = secrets.token_urlsafe(12)
            tracker = None if self._tracker is None else self._tracker()
            self._open[key] = Stream(now, now, tracker)
        return key

    @contextmanager
    def frame(self, key: str) -> Iterator[tuple[Stream, float] | None]:
        """The stream and the time of a frame; None where the one before is still being computed: then it is
        dropped. Raises UserError where the stream has ended, or its time is over."""
        now = self.clock()
        with self._lock:
            stream = self._open.get(key)
            if stream is None:
                raise UserError(ENDED)
            if self._limit is not None and now - stream.began > self._limit:
                del self._open[key]
                raise UserError(OVER.format(limit=self._limit))
            stream.last = now
        if not stream.busy.acquire(blocking=False):
            yield None
            return
        try:
            yield stream, now
        finally:
            stream.busy.release()

    def stop(self, key: str) -> None:
        """Forget a stream; nothing where it has ended."""
        with self._lock:
            self._open.pop(key, None)
