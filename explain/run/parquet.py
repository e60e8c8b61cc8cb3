"""Parquet files that are written whole or not at all, with a checksum a page: what a disk or a copy damaged
is noticed, and never shown."""

from collections.abc import Callable, Sequence, Set
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from explain.run.damaged_parts import note_damage
from explain.run.remote.mirrors import restored
from models.errors import UserError
from models.files.atomic import atomic

P = ParamSpec("P")
T = TypeVar("T")
AGAIN = "start the same run again, which computes its images again"


class Damaged(UserError):
    """A file that is not as it was written."""

    def __init__(self, path: Path, error: Exception, remedy: str = AGAIN):
        self.path = path
        lines = str(error).splitlines() or [type(error).__name__]
        super().__init__(f"'{path}' is damaged ({lines[0][:100]}): {remedy}.")


def write(table: pa.Table, path: Path, **options: Any) -> None:
    """`options`: of `pyarrow.parquet.write_table`. Raises OSError where the disk is full; nothing is left
    then."""
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True, **options)


def _restoring(reads: Callable[P, T]) -> Callable[P, T]:
    """The function, called again where a damaged file of a run at a URL was fetched again."""

    @wraps(reads)
    def called(*given: P.args, **named: P.kwargs) -> T:
        try:
            return reads(*given, **named)
        except Damaged as error:
            if not restored(error.path):
                raise
            return reads(*given, **named)

    return called


@_restoring
def read(path: Path, columns: Sequence[str] | None = None, remedy: str = AGAIN, **options: Any) -> pa.Table:
    """`remedy`: what a person does about a damaged one; `options`: of `pyarrow.parquet.read_table`. Raises
    `Damaged` where it cannot be read, differs from what was written, or lacks a column."""
    _must_be_a_file(path)
    try:
        if options:  # which takes twice as long for a small file
            return pq.read_table(path, columns=columns, page_checksum_verification=True, **options)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read() if columns is None else file.read(list(columns)).select(list(columns))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Damaged(path, error, remedy) from error


@_restoring
def read_part(
    path: Path, wanted: Sequence[str], optional: Set[str] = frozenset()
) -> tuple[pa.Table, pa.Schema]:
    """The wanted columns of a small file, those of `optional` where it has them, and its whole schema. Raises
    `Damaged` as `read`."""
    _must_be_a_file(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            names = [name for name in wanted if name in schema.names or name not in optional]
            return file.read(names, use_threads=False).select(names), schema
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Damaged(path, error) from error


def taken(path: Path, name: str, places: np.ndarray) -> pa.ChunkedArray:
    """A column of a small file, of which nothing is kept, at these places. Raises `Damaged`."""
    try:
        values = read_part(path, [name])[0][name]
    except Damaged:
        note_damage(path)
        raise
    whole = len(places) == len(values) and (np.diff(places) == 1).all()
    return values if whole else values.take(pa.array(places))


@_restoring
def names_in(path: Path) -> set[str]:
    """Its columns. Raises `Damaged`."""
    _must_be_a_file(path)
    try:
        return set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise Damaged(path, error) from error


def _must_be_a_file(path: Path) -> None:
    """Reading a pipe would never end."""
    if not path.is_file():
        raise Damaged(path, OSError("no file" if not path.exists() else "not a regular file"))


def is_whole(path: Path) -> bool:
    """Whether every page of it can be read; memory stays that of a row group. Of a run at a URL: after a
    damaged copy was fetched again."""
    return _is_whole(path) or (restored(path) and _is_whole(path))


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True
