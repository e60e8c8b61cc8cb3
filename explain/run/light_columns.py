"""The light columns of all parts of a run in one file: opening thousands of parts takes longer than reading
them."""

import hashlib
import logging
from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from explain.run.format import COLUMNS, part_files
from explain.run.parquet import Damaged, read, write

FEWEST = 20
"""Parts from which the file is written."""
_KEY = b"vitrine.parts"


def key_of(folder: Path, wanted: Sequence[str]) -> bytes:
    """Of the columns, and of the parts as they are: their names, sizes, and times of change."""
    digest = hashlib.sha256(" ".join(wanted).encode())
    for path in part_files(folder):
        stat = path.stat()
        digest.update(f"\0{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest().encode()


def kept(folder: Path, key: bytes, required: Set[str]) -> pa.Table | None:
    """The columns, where the folder has them of these very parts, and they are whole. None without one that
    is `required`."""
    if not (file := folder / COLUMNS).is_file():
        return None
    try:
        table = read(file)
    except Damaged as error:
        logging.getLogger("vitrine").warning("%s is left out: %s", file, error)
        return None
    of_these = (table.schema.metadata or {}).get(_KEY) == key
    return table if of_these and required <= set(table.column_names) else None


def keep(folder: Path, key: bytes, table: pa.Table) -> None:
    """Write them, where there are at least `FEWEST` parts and the folder can be written."""
    if len(part_files(folder)) >= FEWEST:
        with suppress(OSError):
            one_chunk = table.replace_schema_metadata({_KEY: key}).combine_chunks()
            write(one_chunk, folder / COLUMNS, row_group_size=max(1, len(table)), use_dictionary=False)
