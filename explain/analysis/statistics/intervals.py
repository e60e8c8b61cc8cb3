"""Intervals of 95 % for many figures at once: Wilson's for fractions, the bootstrap over images for anything
else. NumPy only."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
RESAMPLES = 500
BLOCK, BLOCK_VALUES = 50, 4_000_000  # resamples at a time, and the most counts of them
KEPT_BYTES = 32 * 2**20  # resamples of so many images are kept: about 67,000


def wilson_intervals(hits: np.ndarray | int, n: np.ndarray | int) -> np.ndarray:
    """(..., 2): of each fraction hits / n what `models.measures.evaluation.wilson_interval` returns, in
    microseconds; NaN where n is 0."""
    hits, n = np.asarray(hits, float), np.asarray(n, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, z = hits / n, Z**2 / n
        center, half = p + z / 2, Z * np.sqrt(p * (1 - p) / n + z / (4 * n))
        ends = np.stack([center - half, center + half], axis=-1) / (1 + z)[..., None]
    return np.clip(ends, 0, 1)


def resamples(n: int) -> Iterable[np.ndarray]:
    """Bootstrap samples of n images (B. Efron, *Bootstrap methods: another look at the jackknife*, 1979):
    blocks (b, n) of how often each image is drawn, uint8, `RESAMPLES` rows in all; the same on every call."""
    return _kept(n) if n * RESAMPLES <= KEPT_BYTES else _drawn(n)


@lru_cache(maxsize=2)
def _kept(n: int) -> tuple[np.ndarray, ...]:
    return tuple(_drawn(n))


def _drawn(n: int) -> Iterator[np.ndarray]:
    rng, size = np.random.default_rng(0), max(1, min(BLOCK, BLOCK_VALUES // max(n, 1)))
    for start in range(0, RESAMPLES, size):
        rows = min(size, RESAMPLES - start)
        block = np.empty((rows, n), np.uint8)
        for row in block:
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n) if n else 0
        yield block


def percentiles(values: np.ndarray) -> np.ndarray:
    """(B, k) -> (k, 2): the 2.5 % and the 97.5 % quantile of each column, without the resamples in which it
    is not defined (NaN). NaN where it does not vary: a bootstrap then says nothing of the uncertainty."""
    ends = np.full((values.shape[1], 2), np.nan)
    for end, column in zip(ends, values.T, strict=True):
        known = column[np.isfinite(column)]
        if len(known):
            low, high = np.quantile(known, [0.025, 0.975])
            if low < high:
                end[:] = low, high
    return ends


def exact_float(n: int) -> type[np.floating]:
    """The smaller float type in which sums of n counts of 0 and 1 are exact: matrix products in it are the
    fastest way to count."""
    return np.float32 if n < 2**24 else np.float64
