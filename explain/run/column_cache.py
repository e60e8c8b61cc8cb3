"""A cache of the columns that were read last, limited in bytes: a run may be larger than memory."""

import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache

from explain.run.parquet import Damaged

MOST = 96 * 1024**2
OPEN = 256  # files whose footer is kept: reading it again takes longer than a column


class _Columns:
    """An open file is read by one thread at a time."""

    def __init__(self) -> None:
        self._kept: LRUCache[tuple[Path, str, int], pa.ChunkedArray] = LRUCache(MOST, lambda c: c.nbytes)
        self._lock = threading.Lock()

    def at(self, path: Path, name: str, stamp: int) -> pa.ChunkedArray:
        key = (path, name, stamp)
        with self._lock:
            if (kept := self._kept.get(key)) is None:
                kept = _read(path, name, stamp)
                with suppress(ValueError):  # larger than the whole cache
                    self._kept[key] = kept
            return kept


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
