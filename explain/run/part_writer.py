"""Writes the rows of a run, part by part."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from explain.run.format import SAMPLES, Request, map_schema, maps_of, part_files
from explain.run.parquet import write
from models.errors import UserError
from models.files.atomic import SUFFIX as TEMPORARY


class PartWriter:
    """Collects tables and writes them as parts of `rows` rows, each under a temporary name first. `written`
    gets the files of every part when they are finished."""

    def __init__(
        self,
        folder: Path,
        request: Request,
        rows: int = 512,
        written: Callable[[Sequence[Path]], None] = lambda files: None,
    ):
        self.folder, self.request, self.rows, self._written = folder / SAMPLES, request, rows, written
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob(f"*{TEMPORARY}"):
            stale.unlink()
        taken = [int(path.stem.split("-")[1]) for path in part_files(folder)]
        self.next = max(taken, default=-1) + 1
        self.pending: list[pa.Table] = []
        self.maps: list[pa.Table] = []

    def add(self, table: pa.Table, maps: pa.Table | None = None) -> None:
        """Rows of images; `maps`: those of their classes, where a run keeps them apart."""
        self.pending.append(table)
        if maps is not None:
            self.maps.append(maps)
        if sum(t.num_rows for t in self.pending) >= self.rows:
            self.flush()

    def flush(self) -> None:
        """Write what is pending. Raises UserError where the disk is full, and as `written`; parts already
        written stay."""
        if not self.pending:
            return
        path = self.folder / f"part-{self.next:05d}.parquet"
        try:
            if self.request.maps_apart:  # before the images, whose part says that they are done
                maps_of(path).parent.mkdir(exist_ok=True)
                none = map_schema(self.request).empty_table()
                _write(pa.concat_tables([none, *self.maps]).combine_chunks(), maps_of(path))
            _write(pa.concat_tables(self.pending).combine_chunks(), path)
        except OSError as error:
            self.pending, self.maps = [], []  # whoever ends the run need not try once more
            raise UserError(
                f"'{path}' cannot be written ({error.strerror or error}): all earlier parts are kept; "
                "free space and start the same command again."
            ) from error
        self.pending, self.maps, self.next = [], [], self.next + 1
        self._written([maps_of(path), path] if self.request.maps_apart else [path])


def _write(table: pa.Table, path: Path) -> None:
    """A part. Pictures, maps and probabilities hardly repeat: without a dictionary of them, and without their
    smallest and largest, files are smaller and are read in half the time."""
    plain = [f.name for f in table.schema if not (pa.types.is_binary(f.type) or pa.types.is_nested(f.type))]
    write(table, path, use_dictionary=plain, write_statistics=plain)
