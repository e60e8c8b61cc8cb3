"""A cache of the columns that were read last, limited in bytes: a run may be larger than memory."""

import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from explain.run.parquet import Damaged

MOST = 96 * 1024**2
OPEN = 256  # files whose footer is kept: reading it again takes longer than a column


class _Columns:
    """An open file is read by one thread at a time."""

    def __init__(self) -> None:
        self._kept, self._bytes, self._lock = (
            OrderedDict[tuple[Path, str, int], pa.ChunkedArray](),
            0,
            threading.Lock(),
        )

    def at(self, path: Path, name: str, stamp: int) -> pa.ChunkedArray:
        key = (path, name, stamp)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _read(path, name, stamp)
                self._bytes += self._kept[key].nbytes
                while self._bytes > MOST and len(self._kept) > 1:
                    self._bytes -= self._kept.popitem(last=False)[1].nbytes
            self._kept.move_to_end(key)
            return self._kept[key]


@lru_cache(maxsize=OPEN)
def _file(path: Path, _stamp: int) -> pq.ParquetFile:
    return pq.ParquetFile(path, page_checksum_verification=True)


def _read(path: Path, name: str, stamp: int) -> pa.ChunkedArray:
    try:
        return _file(path, stamp).read(columns=[name], use_threads=False)[name]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Damaged(path, error) from error


_columns = _Columns()


def column(path: Path, name: str, stamp: int) -> pa.ChunkedArray:
    """A column of a part; `stamp` distinguishes the run from one that was at this path before. Raises
    `Damaged`."""
    return _columns.at(path, name, stamp)
