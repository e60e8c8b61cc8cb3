"""How similar the maps of two runs are on the same images: their rank correlation, compared with that of
other images of the same class."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from explain.run.reader import RunData
from explain.run.regions import reduced

CHUNK = 2000


def map_similarity(
    a: RunData, b: RunData, rows_a: np.ndarray, rows_b: np.ndarray, method: str, target: str = "label"
) -> np.ndarray:
    """Spearman's correlation (n,) of the positive maps of rows of A with those of rows of B; the finer map is
    reduced to the other's size. NaN where a map is the same everywhere."""
    return (
        np.concatenate([_spearman(x, y) for x, y in _pairs(a, b, rows_a, rows_b, method, target)])
        if len(rows_a)
        else np.zeros(0)
    )


def partners(label: np.ndarray, seed: int = 0) -> np.ndarray:
    """For each image another one of its class (n,), or of any where it is alone: the control. No image is its
    own."""
    rng, other = np.random.default_rng(seed), np.arange(len(label))
    for group in (np.flatnonzero(label == k) for k in np.unique(label)):
        mixed = rng.permutation(group)
        other[mixed] = np.roll(mixed, 1)
    lonely = np.flatnonzero(other == np.arange(len(label)))
    if len(label) > 1:
        other[lonely] = (lonely + 1 + rng.integers(0, len(label) - 1, len(lonely))) % len(label)
    return other


def _pairs(
    a: RunData, b: RunData, rows_a: np.ndarray, rows_b: np.ndarray, method: str, target: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Flat maps (n, positions) of both, chunk by chunk."""
    (ha, wa), (hb, wb) = a.manifest.request.map_shape, b.manifest.request.map_shape
    shape = (min(ha, hb), min(wa, wb))
    for start in range(0, len(rows_a), CHUNK):
        part = slice(start, start + CHUNK)
        maps = (
            np.maximum(np.nan_to_num(run.maps(method, target, rows[part].tolist())), 0)
            for run, rows in ((a, rows_a), (b, rows_b))
        )
        x, y = (m if m.shape[1:] == shape else reduced(m, shape) for m in maps)
        yield x.reshape(len(x), -1), y.reshape(len(y), -1)


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (rankdata(values, axis=1) for values in (x, y))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    size = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), size, out=np.full(len(x), np.nan), where=size > 0)
