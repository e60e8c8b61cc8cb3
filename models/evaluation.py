"""From predictions to numbers. NumPy only: the dashboard paints before torch is imported.

Every measure is tested against scikit-learn or torchmetrics.
"""

from dataclasses import dataclass

import numpy as np

from models.calibration import calibration


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i, j]`: images of class i that were called j. Per class: precision, recall, f1, support; a
    class without images has recall NaN and is left out of `macro_f1`."""

    confusion: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    kappa: float
    calibration_error: float
    overconfidence: float


def confusion_matrix(label: np.ndarray, pred: np.ndarray, classes: int) -> np.ndarray:
    """Counts (K, K), rows true, columns predicted."""
    return np.bincount(label.astype(np.int64) * classes + pred, minlength=classes**2).reshape(
        classes, classes
    )


def _fraction(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def wilson_interval(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (E. B. Wilson, JASA 22, 1927): keeps its level for few images and shares near
    0 or 1."""
    if n == 0:
        return 0.0, 1.0
    p, zz = hits / n, z * z / n
    middle, half = p + zz / 2, z * np.sqrt(p * (1 - p) / n + zz / (4 * n))
    return float((middle - half) / (1 + zz)), float((middle + half) / (1 + zz))


def evaluate(label: np.ndarray, pred: np.ndarray, confidence: np.ndarray, classes: int) -> Evaluation:
    """`label`, `pred` (n,) class indices; `confidence` (n,) probability of the prediction."""
    matrix = confusion_matrix(label, pred, classes)
    hits, support, called = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    recall, precision = _fraction(hits, support), _fraction(hits, called)
    f1 = np.where(support > 0, _fraction(2.0 * hits, support + called), np.nan)
    n, right = int(support.sum()), int(hits.sum())
    ece, over = calibration(confidence, (label == pred).astype(float))
    seen = f1[support > 0]
    macro = float(seen.mean()) if len(seen) else float("nan")
    accuracy = right / n if n else float("nan")
    return Evaluation(
        matrix,
        precision,
        recall,
        f1,
        support,
        accuracy,
        wilson_interval(right, n),
        macro,
        kappa(matrix),
        ece,
        over,
    )


def kappa(confusion: np.ndarray) -> float:
    """Cohen's kappa (1960): agreement beyond what the two margins give by chance; NaN where chance alone is
    certain."""
    n = confusion.sum()
    if n == 0:
        return float("nan")
    chance = float((confusion.sum(0) * confusion.sum(1)).sum()) / n**2
    return float((np.trace(confusion) / n - chance) / (1 - chance)) if chance < 1 else float("nan")
