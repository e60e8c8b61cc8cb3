"""From predictions to numbers. NumPy only: the dashboard paints before torch is imported.

Every measure is tested against scikit-learn or torchmetrics.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i, j]`: images of class i that were called j. Per class: precision, recall, f1, support; a class
    without images has recall NaN and is left out of `macro_f1`."""

    confusion: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    calibration_error: float
    overconfidence: float


def confusion_matrix(label: np.ndarray, pred: np.ndarray, classes: int) -> np.ndarray:
    """Counts (K, K), rows true, columns predicted."""
    return np.bincount(label.astype(np.int64) * classes + pred, minlength=classes**2).reshape(classes, classes)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def wilson_interval(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (E. B. Wilson, JASA 22, 1927): keeps its level for few images and shares near 0 or 1."""
    if n == 0:
        return 0.0, 1.0
    p, zz = hits / n, z * z / n
    middle, half = p + zz / 2, z * np.sqrt(p * (1 - p) / n + zz / (4 * n))
    return float((middle - half) / (1 + zz)), float((middle + half) / (1 + zz))


def calibration(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> tuple[float, float]:
    """Expected calibration error (Guo et al. 2017, equal bins of width 1/`bins`), and mean confidence - accuracy."""
    if len(confidence) == 0:
        return float("nan"), float("nan")
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.abs(np.bincount(index, confidence - correct, minlength=bins))
    return float(gap.sum() / len(confidence)), float((confidence - correct).mean())


def evaluate(label: np.ndarray, pred: np.ndarray, confidence: np.ndarray, classes: int) -> Evaluation:
    """`label`, `pred` (n,) class indices; `confidence` (n,) probability of the prediction."""
    matrix = confusion_matrix(label, pred, classes)
    hits, support, called = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    recall, precision = _share(hits, support), _share(hits, called)
    f1 = np.where(support > 0, _share(2.0 * hits, support + called), np.nan)
    n, right = int(support.sum()), int(hits.sum())
    ece, over = calibration(confidence, (label == pred).astype(float))
    seen = f1[support > 0]
    return Evaluation(matrix, precision, recall, f1, support, right / n if n else float("nan"), wilson_interval(right, n),
                      float(seen.mean()) if len(seen) else float("nan"), ece, over)  # fmt: skip
