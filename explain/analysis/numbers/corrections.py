"""Simple corrections of predicted numbers, measured on images that they were not fitted on. NumPy only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Line = tuple[float, float]
"""(a, b): a + b × predicted."""


@dataclass(frozen=True)
class Correction:
    """`line`: fitted on all images. `before`, `after`: RMSE without it, and with the line that was fitted on
    the other half of the images."""

    line: Line
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Fraction of the RMSE."""
        return 1 - self.after / self.before if self.before > 0 else 0.0


def shift(truth: np.ndarray, predicted: np.ndarray) -> Line:
    """Subtracts the bias."""
    return float((truth - predicted).mean()), 1.0


def least_squares(truth: np.ndarray, predicted: np.ndarray) -> Line:
    """The line with the smallest mean square of truth minus line; `shift` where the predictions do not
    vary."""
    variance = float(predicted.var())
    if not variance > 0:
        return shift(truth, predicted)
    slope = float(((predicted - predicted.mean()) * (truth - truth.mean())).mean()) / variance
    return float(truth.mean() - slope * predicted.mean()), slope


def held_out(
    truth: np.ndarray,
    predicted: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray], Line],
    base: Callable[[np.ndarray, np.ndarray], Line] = lambda _truth, _predicted: (0.0, 1.0),
) -> Correction:
    """Of a correction, against another one (default: none). The images are split into two halves at random,
    always the same way; each half is corrected by the line of the other one. At least four images."""
    order = np.random.default_rng(0).permutation(len(truth))
    halves = np.array_split(order, 2)
    corrected, compared = np.empty(len(truth)), np.empty(len(truth))
    for own, other in (halves, halves[::-1]):
        for result, method in ((corrected, fit), (compared, base)):
            a, b = method(truth[other], predicted[other])
            result[own] = a + b * predicted[own]
    before, after = (compared - truth) ** 2, (corrected - truth) ** 2
    line = fit(truth, predicted)
    return Correction(line, float(before.mean() ** 0.5), float(after.mean() ** 0.5))


@dataclass(frozen=True)
class Slope:
    """Of a line by least squares, with its standard error for errors of any spread (White 1980, HC0)."""

    value: float
    error: float

    def interval(self, width: float = 1.959964) -> tuple[float, float]:
        """95 %, or `width` standard errors."""
        return self.value - width * self.error, self.value + width * self.error


def slope(x: np.ndarray, y: np.ndarray) -> Slope | None:
    """Of y (n,) on x (n,); None where x does not vary."""
    x = x - x.mean()
    square = float((x**2).sum())
    if not square > 0:
        return None
    found = float((x * y).sum()) / square
    rest = y - y.mean() - found * x
    return Slope(found, float(((x * rest) ** 2).sum()) ** 0.5 / square)
