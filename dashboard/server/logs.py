"""The log of the server: limited in length and rate, without control characters."""

import logging
import time
from collections import Counter
from collections.abc import Callable

LENGTH, A_MINUTE = 4000, 30
"""Characters of a line, and lines of one kind in a minute."""
BOUNDED = ("vitrine", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "gradio", "httpx")


class Bounded(logging.Filter):
    """Passes `A_MINUTE` records of a kind in a minute, each cut and with control characters escaped; then
    reports how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock, self._since, self._counts = clock, clock(), Counter[tuple[str, int]]()

    def filter(self, record: logging.LogRecord) -> bool:
        if self._clock() - self._since >= 60:
            self._since, kept_back = (
                self._clock(),
                sum(n - A_MINUTE for n in self._counts.values() if n > A_MINUTE),
            )
            self._counts.clear()
            if kept_back:
                record.msg = f"{record.msg} ({kept_back:,} more lines like earlier ones were left out)"
        kind = (record.pathname, record.lineno)
        self._counts[kind] += 1
        if self._counts[kind] > A_MINUTE:
            return False
        record.msg, record.args = printable(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = printable(logging.Formatter().formatException(record.exc_info), keep="\n")
        return True


def printable(text: str, keep: str = "", length: int = LENGTH) -> str:
    """Cut to `length`, beginning and end kept; control characters are escaped as in Python."""
    if len(text) > length:
        text = f"{text[: length // 2]} … {text[-length // 2 :]}"
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def bound_logs() -> None:
    """For this process, from now on."""
    for name in BOUNDED:
        logger = logging.getLogger(name)
        if not any(isinstance(f, Bounded) for f in logger.filters):
            logger.addFilter(Bounded())
