"""Single cells of a column of a Parquet file, in bounded memory: whatever the size of a row group, and
whatever its values unpack to, a few rows at a time are decoded."""

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache

from models.data.images import UnreadableImage
from models.data.remote.location import Location, seekable, stamp_of

ROWS = 16  # decoded at a time
KEPT_BYTES = 128 * 2**20  # of decoded rows, for each file that is read
READERS = 8  # files that stay open


class CellReader:
    """Reads forward through a row group, and begins it again for a row that it has passed and no longer
    keeps. Safe to be used by several threads."""

    def __init__(self, file: Location, column: str):
        """`column`: its name, or `name.field` of a struct."""
        self._file, self._column = pq.ParquetFile(seekable(file), memory_map=False, pre_buffer=False), column
        about = self._file.metadata
        self._starts = [0]
        for i in range(about.num_row_groups):
            self._starts.append(self._starts[-1] + about.row_group(i).num_rows)
        self._kept: LRUCache[tuple[int, int], Any] = LRUCache(
            KEPT_BYTES, getsizeof=lambda batch: batch.nbytes
        )
        self._lock = threading.Lock()
        self._batches: Iterator[Any] = iter(())
        self._group, self._next = -1, 0

    def cell(self, row: int) -> Any:
        """The value of a row, as Python's. Raises IndexError for a row that is not there."""
        if not 0 <= row < self._starts[-1]:
            raise IndexError(row)
        group = bisect_right(self._starts, row) - 1
        number, place = divmod(row - self._starts[group], ROWS)
        with self._lock:
            batch = self._kept.get((group, number))
            if batch is None:
                batch = self._advance(group, number)
        return batch.column(0)[place].as_py()

    def _advance(self, group: int, number: int) -> Any:
        """Decode up to this batch of the row group."""
        if group != self._group or number < self._next:
            self._group, self._next = group, 0
            self._batches = self._file.iter_batches(
                batch_size=ROWS, row_groups=[group], columns=[self._column], use_threads=False
            )
        while True:
            batch = next(self._batches)
            key = (group, self._next)
            self._next += 1
            if batch.nbytes <= KEPT_BYTES:
                self._kept[key] = batch
            if key[1] == number:
                return batch


@lru_cache(maxsize=READERS)
def _reader(file: Location, column: str, stamp: str, process: int) -> CellReader:
    """`stamp`: a changed file is opened again; `process`: processes must not share a file's position."""
    return CellReader(file, column)


def read_cell(file: Location, column: str, row: int) -> Any:
    """Raises `UnreadableImage` for a row that is not there, and for a file that cannot be read."""
    try:
        return _reader(file, column, stamp_of(file), os.getpid()).cell(row)
    except (OSError, pa.ArrowException, IndexError, StopIteration) as error:
        raise UnreadableImage(f"the Parquet file cannot be read ({type(error).__name__})") from error
