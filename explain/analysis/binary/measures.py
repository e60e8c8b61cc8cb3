"""Runs of two classes: ROC and precision-recall curves, the areas below them with intervals, and measures at
a threshold. NumPy; SciPy is imported where it is needed.

An image is predicted positive where its probability of the positive class is **at least** the threshold.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from explain.analysis.statistics.intervals import RESAMPLES, Z
from explain.run.reader import RunData
from models.errors import UserError
from models.measures.evaluation import wilson_interval

PRESETS = {"0.5": "0.5", "best-f1": "best F1", "sensitivity-90": "90 % sensitivity"}
"""Names of thresholds for commands and buttons: 0.5; the largest F1 on these images; the smallest
false-alarm rate with a sensitivity of at least 90 %."""
SENSITIVITY = 0.9
COUNT_RESAMPLES = 2000  # of F1
Interval = tuple[float, float]


@dataclass(frozen=True)
class Counts:
    """Outcomes at a threshold, and measures of them; NaN where a measure is not defined. Intervals are of
    95 %: Wilson's for fractions, a seeded bootstrap of the outcomes of each class for F1."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def sensitivity(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def sensitivity_interval(self) -> Interval:
        return wilson_interval(self.tp, self.tp + self.fn)

    @property
    def specificity_interval(self) -> Interval:
        return wilson_interval(self.tn, self.tn + self.fp)

    @property
    def precision_interval(self) -> Interval:
        return wilson_interval(self.tp, self.tp + self.fp)

    @property
    def f1_interval(self) -> Interval:
        positives, negatives = self.tp + self.fn, self.tn + self.fp
        rng = np.random.default_rng(0)
        tp = rng.binomial(positives, self.tp / max(positives, 1), COUNT_RESAMPLES)
        fp = rng.binomial(negatives, self.fp / max(negatives, 1), COUNT_RESAMPLES)
        return _percentiles(2 * tp / np.maximum(tp + fp + positives, 1))


@dataclass(frozen=True, eq=False)
class BinaryScores:
    """Of n images: whether each is of the positive class (`truth`, bool), and its probability of that class
    (`score`, float64, finite). `left_out`: images without a probability."""

    truth: np.ndarray
    score: np.ndarray
    left_out: int = 0

    @classmethod
    def of(cls, truth: np.ndarray, score: np.ndarray, left_out: int = 0) -> Self:
        """Without the images whose score is NaN; they are added to `left_out`."""
        known = np.isfinite(score)
        return cls(
            truth[known].astype(bool), score[known].astype(float), left_out + int(len(known) - known.sum())
        )

    @cached_property
    def positives(self) -> int:
        return int(self.truth.sum())

    @property
    def negatives(self) -> int:
        return len(self.truth) - self.positives

    @property
    def undefined(self) -> str:
        """Why there are no curves; empty where there are."""
        if self.positives and self.negatives:
            return ""
        if not len(self.truth):
            return "No image has a probability: ROC and precision-recall curves are not defined."
        missing = "negative" if self.positives else "positive"
        return f"No image is of the {missing} class: ROC and precision-recall curves are not defined."

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The distinct scores, from the largest on, and the true and false positives at each of them as the
        threshold."""
        order = np.argsort(-self.score, kind="stable")
        score, hit = self.score[order], self.truth[order]
        last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else np.zeros(0, int)
        tp = np.cumsum(hit)[last]
        return score[last], tp, last + 1 - tp

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False-alarm rate and sensitivity at every threshold, from (0, 0) to (1, 1)."""
        _, tp, fp = self._steps
        return np.append(0, fp / self.negatives), np.append(0, tp / self.positives)

    @property
    def precision_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision at every threshold, the largest threshold first."""
        _, tp, fp = self._steps
        return tp / self.positives, tp / (tp + fp)

    @cached_property
    def auc(self) -> float:
        """Area below the ROC curve: the fraction of pairs of a positive and a negative image in which the
        positive one has the larger score; ties count half."""
        _, tp, fp = self._steps
        twice = np.sum(np.diff(fp, prepend=0) * (2 * tp - np.diff(tp, prepend=0)))
        return float(twice / (2 * self.positives * self.negatives))

    @cached_property
    def auc_interval(self) -> Interval:
        """95 %, from DeLong's variance (E. R. DeLong et al., Biometrics 44, 1988). That is 0 where the scores
        separate the classes entirely, and not defined for one image of a class: the interval is then
        Wilson's kind, with the variance of Hanley & McNeil (Radiology 143, 1982) at its own limits."""
        variance = delong_variance(self.truth, self.score)
        if not variance > 0:
            return _hanley_mcneil(self.auc, self.positives, self.negatives)
        half = Z * variance**0.5
        return max(0.0, self.auc - half), min(1.0, self.auc + half)

    @cached_property
    def average_precision(self) -> float:
        """Sum of the precision at every threshold, weighted by the increase in recall."""
        recall, precision = self.precision_recall
        return float(np.sum(np.diff(recall, prepend=0) * precision))

    @cached_property
    def average_precision_interval(self) -> Interval:
        """95 %, percentiles of `RESAMPLES` bootstrap samples with as many positive and negative images as
        there are; the same on every call."""
        levels = np.unique(self.score[self.truth])[::-1]  # precision counts where a positive image is added
        step = np.searchsorted(-levels, -self.score)
        positive, negative, rng = step[self.truth], step[~self.truth], np.random.default_rng(0)
        found = np.empty(RESAMPLES)
        for k in range(RESAMPLES):
            hits, alarms = (
                np.bincount(part[rng.integers(0, len(part), len(part))], minlength=len(levels) + 1)
                for part in (positive, negative)
            )
            tp = np.cumsum(hits)
            found[k] = np.sum(hits * tp / np.maximum(tp + np.cumsum(alarms), 1)) / len(positive)
        return _percentiles(found)

    def at(self, threshold: float) -> Counts:
        """Outcomes where an image is predicted positive if its score is at least `threshold`."""
        called = self.score >= threshold
        tp, fp = int((called & self.truth).sum()), int((called & ~self.truth).sum())
        return Counts(tp, fp, self.positives - tp, self.negatives - fp)

    def preset(self, name: str) -> float:
        """The threshold of a name in `PRESETS`: the shortest decimal number that gives its predictions.
        Raises UserError where curves are not defined."""
        if name == "0.5":
            return 0.5
        if self.undefined:
            raise UserError(f"{self.undefined} Give the threshold as a number from 0 to 1.")
        score, tp, fp = self._steps
        if name == "best-f1":
            k = int(np.argmax(2 * tp / (tp + fp + self.positives)))
        else:
            first = int(np.argmax(tp >= SENSITIVITY * self.positives))
            k = int(np.flatnonzero(fp == fp[first])[-1])  # the same false alarms, and the most hits
        return shortest_between(float(score[k + 1]) if k + 1 < len(score) else -1.0, float(score[k]))

    def threshold(self, text: str) -> float:
        """Of a name in `PRESETS`, or a number. Raises UserError for anything else."""
        if text in PRESETS:
            return self.preset(text)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise UserError(
                f"'{text[:40]}' is no threshold: give a number from 0 to 1, or one of {', '.join(PRESETS)}."
            )
        return value


def binary_scores(run: RunData) -> BinaryScores:
    """Of a run of two classes and its positive class, whatever its threshold. Raises UserError for other
    runs."""
    failed = len(run.table) - len(run.ok)
    return BinaryScores.of(run.ok["label"].to_numpy() == run.positive, run.positive_score, failed)


def delong_variance(truth: np.ndarray, score: np.ndarray) -> float:
    """Variance of the area below the ROC curve (DeLong et al. 1988), by midranks (X. Sun & W. Xu, IEEE Signal
    Processing Letters 21, 2014); NaN for fewer than two images of a class."""
    from scipy.stats import rankdata

    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    if min(m, n) < 2:
        return float("nan")
    rank = rankdata(np.concatenate([positive, negative]))
    of_positive = (rank[:m] - rankdata(positive)) / n
    of_negative = 1 - (rank[m:] - rankdata(negative)) / m
    return float(of_positive.var(ddof=1) / m + of_negative.var(ddof=1) / n)


def _hanley_mcneil(area: float, m: int, n: int) -> Interval:
    """The areas that differ from `area` by at most `Z` of their own standard errors."""
    from scipy.optimize import brentq

    def beyond(a: float) -> float:
        variance = a * (1 - a) * (1 + (m - 1) * (1 - a) / (2 - a) + (n - 1) * a / (1 + a)) / (m * n)
        return float((area - a) ** 2 - Z**2 * variance)

    inside = min(max(area, 1e-9), 1 - 1e-9)
    low = float(brentq(beyond, 0.0, inside)) if area > 0 else 0.0
    high = float(brentq(beyond, inside, 1.0)) if area < 1 else 1.0
    return low, high


def shortest_between(low: float, high: float) -> float:
    """The number with the fewest decimals that is above `low` and at most `high`, the largest of these."""
    for digits in range(1, 16):
        value = float(np.floor(high * 10**digits) / 10**digits)
        if low < value <= high:
            return value
    return high


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _percentiles(values: np.ndarray) -> Interval:
    """Of 95 %; NaN where the values do not vary: a bootstrap then says nothing of the uncertainty."""
    low, high = np.quantile(values, [0.025, 0.975])
    return (float(low), float(high)) if low < high else (float("nan"), float("nan"))
