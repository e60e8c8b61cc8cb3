"""Images at URLs, whose bytes are read by threads before they are asked for."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from models.data.arrays import MAX_BYTES
from models.data.images import UnreadableImage
from models.data.remote.path import RemotePath

AHEAD = 512
"""Images, at most, that were read and not asked for yet."""


class ReadAhead:
    """Index -> bytes on their way. Safe to be used by several threads."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["ReadAhead"], tuple[()]]:
        """Another process begins with nothing read."""
        return ReadAhead, ()

    def begin(self, indices: Iterable[int], read: Callable[[int], bytes]) -> None:
        """Start to read these images."""
        from models.data.remote.files import pool

        with self._lock:
            for index in indices:
                if index not in self._waiting:
                    self._waiting[index] = pool().submit(read, index)
            while len(self._waiting) > AHEAD:
                self._waiting.popitem(last=False)[1].cancel()

    def take(self, index: int, read: Callable[[int], bytes]) -> bytes:
        """The bytes of an image, which are not kept; errors as of `read`."""
        with self._lock:
            waiting = self._waiting.pop(index, None)
        return read(index) if waiting is None else waiting.result()


def image_bytes(path: RemotePath) -> bytes:
    """The bytes of an image's file. Raises `UnreadableImage` where it is missing, may not be read, or is too
    large; `Unreachable` where the server does not answer."""
    from models.data.remote.errors import Unreachable

    try:
        if (size := path.size or 0) > MAX_BYTES:
            raise UnreadableImage(
                f"a file of {size / 2**20:,.0f} MB: at most {MAX_BYTES // 2**20} MB are read from a URL"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableImage("file not found") from error
    except (UnreadableImage, Unreachable):
        raise
    except ValueError as error:  # UserError
        raise UnreadableImage(str(error)) from error
