"""Calibration of predicted probabilities. NumPy; SciPy is imported where a temperature is fitted."""

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Of each bin of confidence (equal widths): images, mean confidence, accuracy (NaN where empty)."""

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """The reliability diagram of Guo et al. 2017."""
    index = _bin(confidence, bins)
    count = np.bincount(index, minlength=bins)
    sums = (
        np.bincount(index, weights=values, minlength=bins) for values in (confidence, correct.astype(float))
    )
    means = [np.divide(s, count, out=np.full(bins, np.nan), where=count > 0) for s in sums]
    return Reliability(count, means[0], means[1])


def calibration(
    confidence: np.ndarray, correct: np.ndarray, bins: int = BINS, weight: np.ndarray | None = None
) -> tuple[float, float]:
    """Expected calibration error (Guo et al. 2017, equal bins of width 1/`bins`), and mean confidence -
    accuracy. `weight` (n,): how often each image counts."""
    if len(confidence) == 0:
        return float("nan"), float("nan")
    gap = confidence - correct
    if weight is not None:
        gap = weight * gap
    total = len(confidence) if weight is None else weight.sum()
    by_bin = np.bincount(_bin(confidence, bins), gap, minlength=bins)
    return float(np.abs(by_bin).sum() / total), float(gap.sum() / total)


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature T that makes softmax(logits / T) likeliest on (n, K) logits and (n,) labels (Guo et al.
    2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        return -float(log_softmax(logits / np.exp(log_t))[np.arange(len(label)), label].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def softmax(logits: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.exp(log_softmax(logits))
    return result


def _bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
