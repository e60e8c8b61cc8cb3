"""Mean maps of every class, for wrong and for right predictions."""

from dataclasses import dataclass
from threading import RLock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache, cached

from explain.run.reader import RunData

CHUNK = 4096
KEPT = 8 * 2**20  # bytes of means of single classes


@dataclass(frozen=True, eq=False)
class MeanMaps:
    """`maps` (K, 2, h, w) and `count` (K, 2): class by wrong and right; NaN where there is no map. Every map
    is scaled to sum 1 first, so that each image counts alike, and all means share one scale."""

    maps: np.ndarray
    count: np.ndarray

    @property
    def top(self) -> float:
        """The largest value of all: what is drawn at full strength."""
        return float(np.nanmax(self.maps)) if np.isfinite(self.maps).any() else 1.0

    @property
    def largest_change(self) -> float:
        """The largest difference of any class, in magnitude: what is drawn at full strength."""
        change = np.abs(self.maps[:, 1] - self.maps[:, 0])
        return float(np.nanmax(change)) or 1.0 if np.isfinite(change).any() else 1.0

    def difference(self, label: int) -> np.ndarray:
        """Right minus wrong (h, w); NaN where one of them is missing."""
        change: np.ndarray = self.maps[label, 1] - self.maps[label, 0]
        return change


def mean_maps(run: RunData, method: str, target: str = "label", label: int | None = None) -> MeanMaps:
    """Of every class of the run, or of `label` alone. Maps without positive evidence are left out."""
    ok = run.ok if label is None else run.ok[run.ok["label"] == label]
    return _means(*_sums(run, method, target, ok.index.to_numpy()), run)


@cached(LRUCache[object, MeanMaps](KEPT, getsizeof=lambda means: means.maps.nbytes), lock=RLock())
def mean_maps_of(run: RunData, method: str, target: str, label: int) -> MeanMaps:
    """As `mean_maps` of one class; those asked for last are kept."""
    return mean_maps(run, method, target, label)


def mean_maps_at(before: RunData, means: MeanMaps, run: RunData, method: str, target: str) -> MeanMaps:
    """Of `run`, which is `before` at another threshold, from the means of `before`: only the maps of images
    whose prediction changed are read."""
    rows = run.ok.index[(run.ok["pred"] != before.ok["pred"]).to_numpy()].to_numpy()
    h, w = run.manifest.request.map_shape
    count = means.count.reshape(-1)
    total = np.nan_to_num(means.maps.reshape(-1, h * w)) * count[:, None]
    for one, sign in ((before, -1), (run, 1)):
        sums, images = _sums(one, method, target, rows)
        total, count = total + sign * sums, count + sign * images
    return _means(np.maximum(total, 0), count, run)


def _sums(run: RunData, method: str, target: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums (2 K, h w) of the rows' maps, each scaled to sum 1, and how many they are (2 K,): of every class,
    those of wrong and of right predictions."""
    k, (h, w) = len(run.classes), run.manifest.request.map_shape
    total, count = np.zeros((2 * k, h * w)), np.zeros(2 * k, int)
    ok = run.ok.loc[rows]
    cell = 2 * ok["label"].to_numpy() + ok["correct"].to_numpy()
    for start in range(0, len(rows), CHUNK):
        chosen = slice(start, start + CHUNK)
        maps = np.maximum(np.nan_to_num(run.maps(method, target, rows[chosen].tolist())), 0).reshape(
            -1, h * w
        )
        sums = maps.sum(1)
        positive = sums > 0
        total += _summed(maps[positive] / sums[positive, None], cell[chosen][positive], 2 * k)
        count += np.bincount(cell[chosen][positive], minlength=2 * k)
    return total, count


def _summed(maps: np.ndarray, cell: np.ndarray, cells: int) -> np.ndarray:
    """Sums (cells, h w) of the maps (n, h w) of each cell."""
    from scipy.sparse import csr_array

    of_cell = csr_array((np.ones(len(cell)), (cell, np.arange(len(cell)))), (cells, len(cell)))
    return np.asarray(of_cell @ maps.astype(float))


def means_table(means: MeanMaps, method: str, target: str) -> pa.Table:
    """One row a class, wrong before right: `method`, `target`, `count`, `map`; the inverse of `means_in`."""
    k = len(means.count)
    flat = pa.array(means.maps.reshape(-1))
    maps = pa.FixedSizeListArray.from_arrays(flat, means.maps[0, 0].size)
    names = {"method": [method] * 2 * k, "target": [target] * 2 * k}
    return pa.table(names | {"count": means.count.reshape(-1), "map": maps})


def means_in(table: pa.Table, run: RunData, method: str, target: str) -> MeanMaps:
    """Raises ValueError where the table has no such means, or means of more images than the run has."""
    chosen = pc.and_(pc.equal(table["method"], method), pc.equal(table["target"], target))
    found, (k, shape) = table.filter(chosen), (len(run.classes), run.manifest.request.map_shape)
    flat = found["map"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    count = found["count"].to_numpy().reshape(k, 2)
    cell = 2 * run.ok["label"].to_numpy() + run.ok["correct"].to_numpy()
    if (count > np.bincount(cell, minlength=2 * k).reshape(k, 2)).any():
        raise ValueError("means of more images than the run has")
    return MeanMaps(flat.reshape(k, 2, *shape), count)


def _means(total: np.ndarray, count: np.ndarray, run: RunData) -> MeanMaps:
    k, shape = len(run.classes), run.manifest.request.map_shape
    means = np.divide(total, count[:, None], out=np.full_like(total, np.nan), where=count[:, None] > 0)
    return MeanMaps(means.reshape(k, 2, *shape), count.reshape(k, 2))
