"""A cache of the columns that were read last, limited in bytes: a run may be larger than memory."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache

from explain.run.damaged_parts import note_damage
from explain.run.parquet import Damaged
from explain.run.remote.mirrors import restored

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
                kept = _read(path, [name], stamp)[name]
                self._keep(key, kept)
            return kept

    def ahead(self, path: Path, names: Sequence[str], stamp: int) -> None:
        with self._lock:
            missing = [name for name in names if (path, name, stamp) not in self._kept]
            table = _read(path, missing, stamp) if missing else {}
            for name in missing:
                self._keep((path, name, stamp), table[name])

    def _keep(self, key: tuple[Path, str, int], column: pa.ChunkedArray) -> None:
        with suppress(ValueError):  # larger than the whole cache
            self._kept[key] = column


@lru_cache(maxsize=OPEN)
def _file(path: Path, _stamp: int) -> pq.ParquetFile:
    return pq.ParquetFile(path, page_checksum_verification=True)


def _read(path: Path, names: Sequence[str], stamp: int) -> pa.Table:
    try:
        return _read_once(path, names, stamp)
    except Damaged:
        if not restored(path):
            note_damage(path)
            raise
        _file.cache_clear()
        return _read_once(path, names, stamp)


def _read_once(path: Path, names: Sequence[str], stamp: int) -> pa.Table:
    try:
        return _file(path, stamp).read(columns=list(names), use_threads=False).select(list(names))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Damaged(path, error) from error


_columns = _Columns()


def column(path: Path, name: str, stamp: int) -> pa.ChunkedArray:
    """A column of a part; `stamp` distinguishes the run from one that was at this path before. Raises
    `Damaged`."""
    return _columns.at(path, name, stamp)


def read_ahead(path: Path, names: Sequence[str], stamp: int) -> None:
    """Several columns of a part at once, which takes half the time of one after the other; `column` has them
    then. Raises `Damaged`."""
    _columns.ahead(path, names, stamp)
