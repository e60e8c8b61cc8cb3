"""Parts of the picture by name, and how much of a map lies in each."""

import numpy as np

from explain.run.regions import covered

_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "center", "right")
NINTHS = tuple(
    "middle" if (i, j) == (1, 1) else f"{row} {column}"
    for i, row in enumerate(_ROWS)
    for j, column in enumerate(_COLUMNS)
)
"""The nine parts, from the upper left to the lower right."""


def fractions(maps: np.ndarray) -> np.ndarray:
    """The positive part of maps (n, h, w), each scaled to sum 1; NaN for those without any."""
    positive = np.maximum(np.nan_to_num(maps), 0)
    total = positive.sum((1, 2), keepdims=True)
    return np.divide(positive, total, out=np.full_like(positive, np.nan), where=total > 0)


def ninths(maps: np.ndarray) -> np.ndarray:
    """The sum of each map (n, h, w) in each of `NINTHS`, (n, 9); cells on a border count by area."""
    down, across = (np.stack([covered(n, k / 3, (k + 1) / 3) for k in range(3)]) for n in maps.shape[1:])
    return np.asarray(np.einsum("ih,nhw,jw->nij", down, maps, across).reshape(len(maps), len(NINTHS)))
