"""Metrics of two runs of the same images, and intervals of their differences by the paired bootstrap.

B. Efron, *Bootstrap methods: another look at the jackknife*, 1979; percentile intervals of 95 %.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.measures.calibration import calibration
from models.measures.evaluation import ClassCounts

REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of n images: true and predicted class, probability of the prediction, cross-entropy; `classes` in
    all."""

    label: np.ndarray
    pred: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    classes: int

    @cached_property
    def right(self) -> np.ndarray:
        return np.asarray(self.label == self.pred)

    @cached_property
    def hits(self) -> np.ndarray:
        """The classes of those that are right."""
        return self.label[self.right]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Predictions of which each counts `weight` (n,) times."""

    of: Predictions
    weight: np.ndarray

    @cached_property
    def counts(self) -> ClassCounts:
        p = self.of
        return ClassCounts(
            np.bincount(p.label, self.weight, p.classes),
            np.bincount(p.pred, self.weight, p.classes),
            np.bincount(p.hits, self.weight[p.right], p.classes),
        )


@dataclass(frozen=True)
class Metric:
    """`a` and `b` with their intervals, and `b` - `a` with its own. `better`: +1 where more is better, -1
    where less is."""

    name: str
    a: float
    b: float
    interval_a: tuple[float, float]
    interval_b: tuple[float, float]
    interval: tuple[float, float]
    better: int

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def sure(self) -> bool:
        """Whether the interval of the difference leaves zero out."""
        return bool(self.interval[0] > 0 or self.interval[1] < 0)


def accuracy(drawn: Drawn) -> float:
    return drawn.counts.accuracy


def macro_f1(drawn: Drawn) -> float:
    return drawn.counts.macro_f1


def kappa(drawn: Drawn) -> float:
    return drawn.counts.kappa


def calibration_error(drawn: Drawn) -> float:
    return calibration(drawn.of.confidence, drawn.of.right, weight=drawn.weight)[0]


def loss(drawn: Drawn) -> float:
    return float((drawn.weight * drawn.of.loss).sum() / drawn.weight.sum())


METRICS: dict[str, tuple[Callable[[Drawn], float], int]] = {
    "accuracy": (accuracy, 1),
    "macro F1": (macro_f1, 1),
    "kappa": (kappa, 1),
    "calibration error": (calibration_error, -1),
    "loss": (loss, -1),
}
"""Name -> (value, whether more is better)."""


def side_by_side(a: Predictions, b: Predictions, replicates: int = REPLICATES, seed: int = 0) -> list[Metric]:
    """Every metric of both. In each replicate the same images are drawn for both, equally often, so that an
    effect of an image on both cancels out of the difference."""
    whole = [Drawn(p, np.ones(len(a.label))) for p in (a, b)]
    drawn = np.array(
        [
            [[value(one) for one in both] for value, _ in METRICS.values()]
            for weight in drawn_weights(len(a.label), replicates, seed)
            for both in [(Drawn(a, weight), Drawn(b, weight))]
        ]
    )
    made = []
    for k, (name, (value, better)) in enumerate(METRICS.items()):
        of_a, of_b = drawn[:, k, 0], drawn[:, k, 1]
        made.append(
            Metric(
                name,
                value(whole[0]),
                value(whole[1]),
                interval(of_a),
                interval(of_b),
                interval(of_b - of_a),
                better,
            )
        )
    return made


def drawn_weights(n: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n images is drawn, with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(float)


def interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975]) if np.isfinite(values).any() else (np.nan, np.nan)
    return float(low), float(high)
