"""From predictions to numbers, without torch: the dashboard paints before torch is imported. SciPy is
imported inside the function that needs it.

Every measure is tested against scikit-learn or torchmetrics.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from models.measures.calibration import calibration


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i, j]`: images of class i predicted as j. Per class: precision, recall, f1, support; a class
    without images has recall NaN and is left out of `macro_f1`."""

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


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Of each of K classes: its images (`support`), how often it was predicted, and how often rightly. Images
    may have weights, as in a bootstrap."""

    support: np.ndarray
    predicted: np.ndarray
    hits: np.ndarray

    @classmethod
    def of_matrix(cls, confusion: np.ndarray) -> Self:
        return cls(confusion.sum(1), confusion.sum(0), np.diag(confusion))

    @property
    def accuracy(self) -> float:
        n = self.support.sum()
        return float(self.hits.sum() / n) if n else float("nan")

    @property
    def f1(self) -> np.ndarray:
        """(K,), NaN for a class without images."""
        return np.where(self.support > 0, _fraction(2.0 * self.hits, self.support + self.predicted), np.nan)

    @property
    def macro_f1(self) -> float:
        """Mean over the classes that have images."""
        known = self.f1[self.support > 0]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def kappa(self) -> float:
        """Cohen's kappa (1960): agreement beyond what the two margins give by chance; NaN where chance alone
        is certain."""
        n = self.support.sum()
        if n == 0:
            return float("nan")
        chance = float((self.support * self.predicted).sum()) / n**2
        return float((self.hits.sum() / n - chance) / (1 - chance)) if chance < 1 else float("nan")


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a fraction (E. B. Wilson, JASA 22, 1927): keeps its level for few images and fractions
    near 0 or 1. (0, 1) for no images. About a millisecond a call: for a few groups, not for thousands."""
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def evaluate(label: np.ndarray, pred: np.ndarray, confidence: np.ndarray, classes: int) -> Evaluation:
    """`label`, `pred` (n,) class indices; `confidence` (n,) probability of the prediction."""
    matrix = confusion_matrix(label, pred, classes)
    counts = ClassCounts.of_matrix(matrix)
    n, hits = int(counts.support.sum()), int(counts.hits.sum())
    ece, over = calibration(confidence, (label == pred).astype(float))
    return Evaluation(
        confusion=matrix,
        precision=_fraction(counts.hits, counts.predicted),
        recall=_fraction(counts.hits, counts.support),
        f1=counts.f1,
        support=counts.support,
        accuracy=counts.accuracy,
        interval=wilson_interval(hits, n),
        macro_f1=counts.macro_f1,
        kappa=counts.kappa,
        calibration_error=ece,
        overconfidence=over,
    )


def kappa(confusion: np.ndarray) -> float:
    """As `ClassCounts.kappa`, of a confusion matrix (K, K)."""
    return ClassCounts.of_matrix(confusion).kappa
