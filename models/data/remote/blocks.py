"""A file at a URL in blocks: what is read bit by bit, such as the headers of a tar archive, takes one request
for many of them. Safe to be used by several threads."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from cachetools import LRUCache

BLOCK = 1 << 20  # bytes
KEPT = 12  # blocks of a file
DIRECT = 4 * BLOCK  # bytes that are read at once from here on, past the blocks


class Blocks:
    """`size` of the file in bytes; `fetch` reads from a start to an end. `whole`: the file itself, where the
    server sends no parts of it."""

    def __init__(self, size: int | None, fetch: Callable[[int, int], bytes], whole: bytes | None = None):
        self.size = len(whole) if whole is not None else size or 0
        self._fetch, self._whole = fetch, whole
        self._kept: LRUCache[int, Future[bytes]] = LRUCache(KEPT)
        self._lock = threading.Lock()

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from `start`, fewer at the end of the file. Raises as `fetch`, and OSError for a
        server that sends another number of bytes."""
        end = min(start + size, self.size)
        if self._whole is not None:
            return self._whole[start:end]
        if end <= start:
            return b""
        if end - start >= DIRECT:
            return self._checked(start, end)
        first, last = start // BLOCK, (end - 1) // BLOCK
        data = b"".join(self._block(number) for number in range(first, last + 1))
        return data[start - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int) -> bytes:
        """A block; of several threads that need it, the first reads it."""
        with self._lock:
            waiting = self._kept.get(number)
            if mine := waiting is None:
                waiting = self._kept[number] = Future()
        assert waiting is not None
        if mine:
            try:
                start = number * BLOCK
                waiting.set_result(self._checked(start, min(start + BLOCK, self.size)))
            except BaseException as error:
                with self._lock:
                    self._kept.pop(number, None)
                waiting.set_exception(error)
        return waiting.result()

    def _checked(self, start: int, end: int) -> bytes:
        data = self._fetch(start, end)
        if len(data) != end - start:
            raise OSError(f"the server sent {len(data):,} bytes instead of {end - start:,}")
        return data

    def stream(self) -> "BlockStream":
        return BlockStream(self)


class BlockStream(io.RawIOBase):
    """A stream with a position of its own."""

    def __init__(self, blocks: Blocks):
        super().__init__()
        self._blocks, self._at = blocks, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blocks.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._blocks.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
