"""Measures of predicted numbers, each tested against an independent reference. NumPy only."""

import numpy as np

from models.measures.affect import concordance, correlation

UNITS = ("mae", "rmse")
"""Measures in the unit of the output; the others have none."""


def r_squared(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """1 - sum of squared errors / sum of squared deviations of the truth from its mean, of each column of
    (n, k); NaN where the truth is constant."""
    spread = ((truth - truth.mean(0)) ** 2).sum(0)
    error = ((answer - truth) ** 2).sum(0)
    return 1 - np.divide(error, spread, out=np.full(len(error), np.nan), where=spread > 0)


def number_measures(answer: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """(n, k) predictions and truth -> mae and rmse in units of the truth, pearson, ccc and r2, each (k,)."""
    return {
        "mae": np.abs(answer - truth).mean(0),
        "rmse": np.sqrt(((answer - truth) ** 2).mean(0)),
        "pearson": correlation(answer, truth),
        "ccc": concordance(answer, truth),
        "r2": r_squared(answer, truth),
    }
