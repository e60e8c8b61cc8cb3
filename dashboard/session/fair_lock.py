"""A lock that threads get in the order in which they ask for it."""

from collections import deque
from threading import Lock, get_ident


class FairLock:
    """As `threading.RLock`, but work in steps that gives it back for a moment waits behind everybody who has
    asked for it meanwhile: a plain lock would mostly go to the thread that has just released it."""

    def __init__(self) -> None:
        self._state, self._queue = Lock(), deque[tuple[int, Lock]]()
        self._owner, self._depth = 0, 0

    @property
    def waiting(self) -> int:
        """How many threads wait for it."""
        return len(self._queue)

    def __enter__(self) -> None:
        me = get_ident()
        with self._state:
            if self._owner in (0, me):
                self._owner, self._depth = me, self._depth + 1
                return
            turn = Lock()
            turn.acquire()
            self._queue.append((me, turn))
        try:
            turn.acquire()
        except BaseException:  # interrupted: the turn passes on
            self._give_up((me, turn))
            raise

    def __exit__(self, *error: object) -> None:
        with self._state:
            self._depth -= 1
            if not self._depth:
                self._pass_on()

    def _pass_on(self) -> None:
        """To the one who waits longest."""
        self._owner = 0
        if self._queue:
            self._owner, turn = self._queue.popleft()
            self._depth = 1
            turn.release()

    def _give_up(self, place: tuple[int, Lock]) -> None:
        with self._state:
            if place in self._queue:
                self._queue.remove(place)
            else:  # it was given the lock in this moment
                self._depth = 0
                self._pass_on()
