"""The maps of a run that keeps them apart, one row an image and output: of which outputs each image has one,
and where it is."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from cachetools import LRUCache

from explain.run.column_cache import column
from explain.run.damaged_parts import is_damaged
from explain.run.format import OF_CLASS, Request, map_column, maps_of, part_files, unpack_maps
from explain.run.parquet import Damaged, read
from explain.run.run_data import stamp_of

INDEXED = 16
"""Outputs whose places are kept."""


@dataclass(eq=False)
class KeptMaps:
    """`places`: one row a map: `row` of the run's table of `images` rows, `class` (number of the output), and
    where the map is (`part`, `at`), with its statistics. `damaged`: files that are left out."""

    folder: Path
    request: Request
    places: pd.DataFrame
    images: int
    damaged: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)  # several pages ask at once

    @classmethod
    def of(cls, folder: Path, request: Request, table: pd.DataFrame) -> "KeptMaps":
        """`table`: as `explain.run.reader` reads it."""
        found, lost = [], 0
        names = [
            f"{map_column(m, OF_CLASS)}.{statistic}"
            for m in request.methods
            for statistic in request.statistics
        ]
        for number, part in enumerate(part_files(folder)):
            file = maps_of(part)
            try:
                if is_damaged(file):
                    raise Damaged(file, ValueError("a map that was read later"))
                maps = read(file, ["id", "class", *names]).to_pandas()
            except Damaged as error:
                logging.getLogger("vitrine").warning("%s", error)
                lost += 1
                continue
            found.append(maps.assign(part=number, at=np.arange(len(maps))))
        whole = (
            pd.concat(found, ignore_index=True)
            if found
            else pd.DataFrame(columns=["id", "class", *names, "part", "at"])
        )
        index = pd.Series(np.arange(len(table)), table["id"])
        known = whole[whole["id"].isin(index.index)].drop_duplicates(["id", "class"])
        places = known.assign(row=index.loc[known["id"]].to_numpy(int)).drop(columns="id")
        return cls(folder, request, places, len(table), lost)

    def maps(self, method: str, index: int, rows: Sequence[int]) -> np.ndarray:
        """Raw maps (n, h, w) float32 of an output for rows of the table; NaN where none is kept."""
        shape, name = self.request.map_shape, map_column(method, OF_CLASS)
        maps = np.full((len(rows), *shape), np.nan, np.float32)
        place = self._place_of(index)[list(rows)]
        parts, at = (self._columns[key][place] for key in ("part", "at"))
        for part in np.unique(parts[place >= 0]):
            to = np.flatnonzero((parts == part) & (place >= 0))
            file = maps_of(self._parts[int(part)])
            packed, scale = (column(file, n, self._stamp) for n in (name, f"{name}.scale"))
            scales = scale.to_numpy().astype(np.float32)[at[to]]
            maps[to] = unpack_maps(packed.take(pa.array(at[to])), scales, shape)
        return maps

    def statistic(self, name: str, index: int) -> np.ndarray:
        """A column of the maps of an output for all rows of the table, (n,) float32; NaN where none is
        kept."""
        values = self.places[name].to_numpy(np.float32)
        found: np.ndarray = np.append(values, np.float32(np.nan))[self._place_of(index)]
        return found

    def has_map(self, index: int, row: int) -> bool:
        return bool(self._place_of(index)[row] >= 0)

    @cached_property
    def _parts(self) -> list[Path]:
        return part_files(self.folder)

    @cached_property
    def _stamp(self) -> int:
        return stamp_of(self.folder)

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        """Where the maps are, and -1 for none, which is what the place -1 finds."""
        return {key: np.append(self.places[key].to_numpy(int), -1) for key in ("part", "at")}

    @cached_property
    def _placed(self) -> "LRUCache[int, np.ndarray]":
        return LRUCache(INDEXED)

    def _place_of(self, index: int) -> np.ndarray:
        """For each row of the table, the number of the map of an output among `places`; -1 for none, (n,)."""
        with self._lock:
            if index not in self._placed:
                found = np.full(self.images, -1)
                of_output = np.flatnonzero(self.places["class"].to_numpy(int) == index)
                found[self.places["row"].to_numpy(int)[of_output]] = of_output
                self._placed[index] = found
            return self._placed[index]
