"""Slow results that several threads ask for at once: the first computes, the others wait for it."""

import threading
from collections.abc import Callable, Hashable, MutableMapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Once:
    """One lock for each name. Results may ask for others, as long as none asks for itself."""

    def __init__(self) -> None:
        self._own = threading.Lock()
        self._locks: dict[Hashable, threading.RLock] = {}

    def get(self, kept: MutableMapping[K, T], key: K, compute: Callable[[], T]) -> T:
        """What is kept under the key, computed where there is nothing. What a computation raises is raised to
        the thread that made it; the next one tries again."""
        if (found := kept.get(key)) is not None:
            return found
        with self._own:
            lock = self._locks.setdefault((id(kept), key), threading.RLock())
        with lock:
            if (found := kept.get(key)) is None:
                found = kept[key] = compute()
            return found
