"""The lock of the network: threads get it in the order in which they ask for it."""

import threading
import time

import pytest

from dashboard.session import fair_lock
from dashboard.session.fair_lock import FairLock


def until_waiting(lock: FairLock, count: int) -> None:
    until = time.monotonic() + 30
    while lock.waiting < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_the_one_who_waits_longest_is_next() -> None:
    lock, order = FairLock(), list[int]()

    def work(number: int) -> None:
        with lock:
            order.append(number)

    threads = [threading.Thread(target=work, args=[number]) for number in range(5)]
    with lock:
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            until_waiting(lock, waiting)
    with lock:  # asked for last
        order.append(-1)
    for thread in threads:
        thread.join(30)
    assert order == [0, 1, 2, 3, 4, -1]


def test_a_thread_that_holds_it_gets_it_again() -> None:
    lock, taken = FairLock(), list[str]()

    def other() -> None:
        with lock:
            taken.append("other")

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        until_waiting(lock, 1)
        with lock:
            taken.append("inner")
        assert lock.waiting == 1  # it is still held
        taken.append("outer")
    thread.join(30)
    assert taken == ["inner", "outer", "other"]


def test_an_error_gives_it_back() -> None:
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    thread = threading.Thread(target=lambda: lock.__enter__())
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("given", [False, True], ids=["while it waits", "as it is given"])
def test_who_is_interrupted_passes_his_turn_on(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, taken = FairLock(), list[str]()
    released = threading.Event()

    class Turn:
        """A lock whose second `acquire` is interrupted."""

        def __init__(self) -> None:
            self._acquired = 0

        def acquire(self) -> None:
            self._acquired += 1
            if self._acquired == 2:
                assert released.wait(30)
                raise KeyboardInterrupt

        def release(self) -> None:
            pass

    def interrupted() -> None:
        with pytest.raises(KeyboardInterrupt), lock:
            taken.append("interrupted")

    def next_one() -> None:
        with lock:
            taken.append("next")

    first, second = threading.Thread(target=interrupted), threading.Thread(target=next_one)
    with lock:
        with monkeypatch.context() as patch:
            patch.setattr(fair_lock, "Lock", Turn)
            first.start()
            until_waiting(lock, 1)
        second.start()
        until_waiting(lock, 2)
        if not given:
            released.set()
            first.join(30)
            assert lock.waiting == 1
    released.set()
    for thread in (first, second):
        thread.join(30)
        assert not thread.is_alive()
    assert taken == ["next"]
