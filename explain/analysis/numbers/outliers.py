"""True numbers that are probably wrong: errors beyond what the spread of all other errors explains. NumPy
only."""

import math

import numpy as np

FALSE_ALARMS = 0.05
"""Images beyond the limit that are to be expected in a run whose true numbers are all right."""
HEAVY = 0.9  # shape of a tail from which on large errors are no sign of wrong numbers; 1 is Laplace's
FEWEST = 50  # images


def outlier_limit(residual: np.ndarray) -> float:
    """The distance of a residual (n,) from their median beyond which `FALSE_ALARMS` images are expected.

    The fraction of residuals beyond a distance t is taken for exp(-(t / s)^k). Scale s is that of the median
    distance, shape k that between the 50 % or 75 % quantile and the 90 % quantile, whichever is heavier;
    errors that are rarer do not change them much. The residuals of a normal distribution are rarer (the limit
    is too large), those of Laplace's are as expected (k = 1). Infinite for fewer than `FEWEST` images, where
    the median distance is 0, and for heavier tails (k < `HEAVY`): in those, large errors are common."""
    n = len(residual)
    if n < FEWEST:
        return math.inf
    half, upper, high = np.quantile(np.abs(residual - np.median(residual)), [0.5, 0.75, 0.9]).tolist()
    if not 0 < half < upper < high < math.inf:
        return math.inf
    shape = min(_shape(half, 0.5, high, 0.1), _shape(upper, 0.25, high, 0.1))
    if shape < HEAVY:
        return math.inf
    return float(half * (math.log(n / FALSE_ALARMS) / math.log(2)) ** (1 / shape))


def _shape(near: float, beyond_near: float, far: float, beyond_far: float) -> float:
    """k of exp(-(t / s)^k) from two distances and the fractions beyond them."""
    return math.log(math.log(beyond_far) / math.log(beyond_near)) / math.log(far / near)


def suspects(residual: np.ndarray) -> np.ndarray:
    """Indices (m,) of the residuals beyond `outlier_limit`, the lowest label quality first: cleanlab's score
    of regression is exp(-|residual|) (method "residual"), so the largest error is first."""
    distance = np.abs(residual - np.median(residual)) if len(residual) else residual
    found = np.flatnonzero(distance > outlier_limit(residual))
    return found[np.argsort(-np.abs(residual[found]), kind="stable")]
