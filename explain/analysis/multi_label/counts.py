"""Outcomes of images with any number of labels, at a threshold for each class. NumPy only.

A class is *called* for an image where its probability is **at least** the threshold of the class. Averages
over classes are those of scikit-learn with `zero_division=0`: what is not defined for a class counts as 0.
For a single class it is NaN. Intervals are of 95 %.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from explain.analysis.binary.measures import Counts, Interval
from explain.analysis.statistics.intervals import exact_float, percentiles, resamples, wilson_intervals

NONE: Interval = (float("nan"), float("nan"))
AVERAGES = (
    *("micro_precision", "micro_recall", "micro_f1", "macro_precision", "macro_recall", "macro_f1"),
    *("subset_accuracy", "hamming_loss", "labels_per_image", "called_per_image"),
)
"""Micro: all decisions of all classes together; macro: mean over the classes. Subset accuracy: fraction of
images whose labels are all right, none missing and none too many. Hamming loss: fraction of wrong decisions.
Labels and called classes of an image in the mean."""


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Outcomes at a threshold for each class: whether each of n images has a class (`truth`) and whether the
    class is called for it (`called`), both bool (n, K)."""

    truth: np.ndarray
    called: np.ndarray
    thresholds: np.ndarray

    @property
    def images(self) -> int:
        return len(self.truth)

    @cached_property
    def tp(self) -> np.ndarray:
        """(K,), as `fp`, `fn` and `tn`."""
        return np.count_nonzero(self.called & self.truth, axis=0)

    @cached_property
    def fp(self) -> np.ndarray:
        return np.count_nonzero(self.called, axis=0) - self.tp

    @cached_property
    def fn(self) -> np.ndarray:
        return np.count_nonzero(self.truth, axis=0) - self.tp

    @property
    def tn(self) -> np.ndarray:
        return self.images - self.tp - self.fp - self.fn

    def of_class(self, k: int) -> Counts:
        """Class k alone."""
        return Counts(int(self.tp[k]), int(self.fp[k]), int(self.fn[k]), int(self.tn[k]))

    @property
    def precision(self) -> np.ndarray:
        """(K,), NaN for a class that is never called."""
        return ratio(self.tp, self.tp + self.fp, np.nan)

    @property
    def recall(self) -> np.ndarray:
        """(K,), NaN for a class that no image has."""
        return ratio(self.tp, self.tp + self.fn, np.nan)

    @property
    def f1(self) -> np.ndarray:
        """(K,), NaN for a class that no image has and that is never called."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, np.nan)

    @property
    def precision_interval(self) -> np.ndarray:
        """(K, 2), Wilson's; NaN where precision is."""
        return wilson_intervals(self.tp, self.tp + self.fp)

    @property
    def recall_interval(self) -> np.ndarray:
        """(K, 2), Wilson's; NaN where recall is."""
        return wilson_intervals(self.tp, self.tp + self.fn)

    @cached_property
    def f1_interval(self) -> np.ndarray:
        """(K, 2), those of `Counts.f1_interval`; NaN where F1 is not defined or does not vary."""
        ends = [NONE if np.isnan(value) else self.of_class(k).f1_interval for k, value in enumerate(self.f1)]
        return np.array(ends).reshape(-1, 2)

    @cached_property
    def right(self) -> np.ndarray:
        """(n,): whether the called classes of an image are exactly those that it has."""
        return (self.called == self.truth).all(1)

    @cached_property
    def averages(self) -> dict[str, float]:
        """By the names in `AVERAGES`; NaN without images."""
        found = _averages(self.tp, self.fp, self.fn, self.images)
        exact = float(self.right.mean()) if self.images else np.nan
        return {name: float(value) for name, value in found.items()} | {"subset_accuracy": exact}

    @cached_property
    def resampled(self) -> dict[str, np.ndarray]:
        """By the names in `AVERAGES`: values (RESAMPLES,) in each bootstrap sample of the images; the samples
        depend on their number alone."""
        exact = exact_float(self.images)
        outcomes = np.hstack(
            [
                *(self.called & self.truth, self.called & ~self.truth, self.truth & ~self.called),
                self.right[:, None],
            ]
        ).astype(exact)
        counts = np.concatenate([block.astype(exact) @ outcomes for block in resamples(self.images)])
        k = self.truth.shape[1]
        tp, fp, fn, right = np.split(counts.astype(float), [k, 2 * k, 3 * k], axis=1)
        exactly = ratio(right[:, 0], np.full(len(right), self.images), np.nan)
        return _averages(tp, fp, fn, self.images) | {"subset_accuracy": exactly}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of `averages`: Wilson's for the subset accuracy, else percentiles of `RESAMPLES` bootstrap samples
        of the images; NaN where nothing varies."""
        drawn = self.resampled
        ends = dict(zip(drawn, percentiles(np.stack(list(drawn.values()), 1)), strict=True))
        ends["subset_accuracy"] = wilson_intervals(int(self.right.sum()), self.images)
        return {name: (float(low), float(high)) for name, (low, high) in ends.items()}

    @cached_property
    def called_instead(self) -> np.ndarray:
        """(K, K): images in which the class of the column is called and not true, while the class of the row
        is true and missed. An image counts in every such pair of classes."""
        return images_with_both(self.truth & ~self.called, self.called & ~self.truth)


def _averages(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, images: int) -> dict[str, np.ndarray]:
    """Counts (..., K) -> (...) of each name in `AVERAGES` but the subset accuracy."""
    named = {}
    for kind, (hits, alarms, misses) in {
        "micro": tuple(count.sum(-1, keepdims=True) for count in (tp, fp, fn)),
        "macro": (tp, fp, fn),
    }.items():
        named[f"{kind}_precision"] = ratio(hits, hits + alarms, 0).mean(-1)
        named[f"{kind}_recall"] = ratio(hits, hits + misses, 0).mean(-1)
        named[f"{kind}_f1"] = ratio(2 * hits, 2 * hits + alarms + misses, 0).mean(-1)
    whole = images or np.nan
    named["hamming_loss"] = (fp + fn).mean(-1) / whole
    named["labels_per_image"] = (tp + fn).sum(-1) / whole
    named["called_per_image"] = (tp + fp).sum(-1) / whole
    return named if images else {name: value * np.nan for name, value in named.items()}


def images_with_both(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(K, K): in how many images a row and a column are both true."""
    exact = exact_float(len(rows))
    return (rows.T.astype(exact) @ columns.astype(exact)).astype(np.int64)


def ratio(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
    """`part` / `whole`, and `otherwise` where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), float(otherwise)), where=whole > 0)
