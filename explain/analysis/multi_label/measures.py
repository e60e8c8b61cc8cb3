"""Probabilities of images with any number of labels: each class as a `BinaryScores` of its own, mean average
precision with an interval, and the outcomes at a threshold for each class. NumPy; SciPy is imported where it
is needed. Intervals are of 95 %.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from cachetools import LRUCache

from explain.analysis.binary.measures import PRESETS, BinaryScores, Interval
from explain.analysis.multi_label.counts import LabelCounts, images_with_both, ratio
from explain.analysis.statistics.intervals import RESAMPLES, exact_float, percentiles, resamples
from models.errors import UserError

STEPS = 1000  # thresholds of a class in the bootstrap of the average precision


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Of n images and K classes: whether an image has a class (`truth`, bool (n, K)), and its probability of
    it (`prob`, float64 (n, K), finite). `left_out`: images without a probability or without labels."""

    truth: np.ndarray
    prob: np.ndarray
    classes: tuple[str, ...]
    left_out: int = 0

    @classmethod
    def of(cls, truth: np.ndarray, prob: np.ndarray, classes: Sequence[str], left_out: int = 0) -> Self:
        """Without the images that have a NaN in a row of `truth` or `prob`; they are added to `left_out`.
        Raises UserError for labels other than 0, 1 and NaN, and ValueError for unequal shapes."""
        label, prob = np.asarray(truth).astype(float), np.asarray(prob, float)
        if label.shape != prob.shape or label.ndim != 2 or label.shape[1] != len(classes):
            raise ValueError(f"labels {label.shape}, probabilities {prob.shape}, {len(classes)} classes")
        known = np.isfinite(prob).all(1) & ~np.isnan(label).any(1)
        label = label[known]
        other = label[(label != 0) & (label != 1)]
        if len(other):
            raise UserError(
                f"A label is {other[0]:g}: with several labels per image, each must be 0, 1 or empty."
            )
        lost = int(len(known) - known.sum())
        return cls(label.astype(bool), prob[known], tuple(classes), left_out + lost)

    @property
    def images(self) -> int:
        return len(self.truth)

    @cached_property
    def positives(self) -> np.ndarray:
        """(K,): images that have each class."""
        return np.count_nonzero(self.truth, axis=0)

    def of_class(self, k: int) -> BinaryScores:
        """Class k alone: its images are the positive ones."""
        return self._by_class[k]

    @cached_property
    def _by_class(self) -> tuple[BinaryScores, ...]:
        truth, prob = np.ascontiguousarray(self.truth.T), np.ascontiguousarray(self.prob.T)
        return tuple(BinaryScores(t, p, self.left_out) for t, p in zip(truth, prob, strict=True))

    @property
    def undefined(self) -> tuple[str, ...]:
        """The classes that no image has, or every image: they have no average precision and no AUC."""
        return tuple(name for name, s in zip(self.classes, self._by_class, strict=True) if s.undefined)

    @cached_property
    def average_precision(self) -> np.ndarray:
        """(K,), NaN for the classes in `undefined`."""
        return np.array([np.nan if s.undefined else s.average_precision for s in self._by_class])

    @cached_property
    def auc(self) -> np.ndarray:
        """(K,): areas below the ROC curves, NaN for the classes in `undefined`."""
        return np.array([np.nan if s.undefined else s.auc for s in self._by_class])

    @property
    def mean_average_precision(self) -> float:
        """mAP: mean over the classes that have an average precision; NaN if none has one."""
        return float(_mean_of_known(self.average_precision[None])[0])

    @property
    def macro_auc(self) -> float:
        """Mean over the classes that have an AUC; NaN if none has one."""
        return float(_mean_of_known(self.auc[None])[0])

    @cached_property
    def average_precision_interval(self) -> np.ndarray:
        """(K, 2), from bootstrap samples of the images; NaN where it is not defined or does not vary."""
        ends = percentiles(self.resampled_precision)
        ends[np.isnan(self.average_precision)] = np.nan
        return ends

    @cached_property
    def mean_average_precision_interval(self) -> Interval:
        """From bootstrap samples of the images, in each the mean over the classes that are defined in it."""
        low, high = percentiles(self.resampled_mean[:, None])[0]
        return float(low), float(high)

    @property
    def resampled_mean(self) -> np.ndarray:
        """mAP (RESAMPLES,) in each bootstrap sample."""
        return _mean_of_known(self.resampled_precision)

    @cached_property
    def resampled_precision(self) -> np.ndarray:
        """Average precision (RESAMPLES, K) in each bootstrap sample; the samples depend on the number of
        images alone. Only thresholds that find a positive
        image count, so the images are first added up between these: a product with a sparse matrix. What
        the thresholds that are left out above `STEPS` change of a class is taken back."""
        from scipy.sparse import csr_array

        if not np.isfinite(self.average_precision).any():
            return np.full((RESAMPLES, len(self.classes)), np.nan)
        found = [_first_threshold(s) for s in self._by_class]
        ends = np.cumsum([0, *(thresholds for _, thresholds in found)])
        row = np.concatenate([start + step for start, (step, _) in zip(ends[:-1], found, strict=True)])
        image = np.tile(np.arange(self.images), len(self.classes))
        inside = np.concatenate([step < thresholds for step, thresholds in found])
        hit, exact = self.truth.T.ravel(), exact_float(self.images)
        every, hits = (
            csr_array((np.ones(int(c.sum()), exact), (row[c], image[c])), (int(ends[-1]), self.images))
            for c in (inside, hit)
        )
        drawn = []
        for block in [np.ones((1, self.images), np.uint8), *resamples(self.images)]:
            weight = np.ascontiguousarray(block.T, exact)
            called, tp = every @ weight, hits @ weight
            parts = pairwise(ends)
            drawn.append(np.stack([_precisions(tp[a:b], called[a:b], self.images) for a, b in parts], 1))
        whole, *samples = drawn
        return np.clip(np.concatenate(samples) + self.average_precision - whole, 0, 1)

    @cached_property
    def together(self) -> np.ndarray:
        """(K, K): images that have both classes; on the diagonal those that have the class."""
        return images_with_both(self.truth, self.truth)

    @property
    def chance_of_together(self) -> np.ndarray:
        """(K, K): how many images would have both classes if these were independent; the diagonal is that of
        `together`."""
        expected = np.outer(self.positives, self.positives) / max(self.images, 1)
        np.fill_diagonal(expected, self.positives)
        return expected

    def at(self, thresholds: np.ndarray | float) -> LabelCounts:
        """`thresholds`: (K,), or one for all classes. Those of the last ones are kept: every label of a page
        shows the same averages."""
        each = np.broadcast_to(np.asarray(thresholds, float), (len(self.classes),))
        kept, lock = self._counts
        with lock:
            if (key := each.tobytes()) not in kept:
                kept[key] = LabelCounts(self.truth, self.prob >= each, each)
            return kept[key]

    @cached_property
    def _counts(self) -> tuple[LRUCache[bytes, LabelCounts], threading.Lock]:
        return LRUCache(4), threading.Lock()

    def thresholds(self, text: str) -> np.ndarray:
        """(K,): of a name in `PRESETS` for each class alone, 0.5 for the classes in `undefined`; or a number
        for all. Raises UserError for anything else."""
        return np.array(
            [0.5 if s.undefined and text in PRESETS else s.threshold(text) for s in self._by_class]
        )


def _first_threshold(s: BinaryScores) -> tuple[np.ndarray, int]:
    """Of the thresholds that find a positive image, from the largest on and at most `STEPS`: the number of
    the first at which each image is called, and how many there are (the number of images that none calls)."""
    thresholds = np.unique(s.score[s.truth])[::-1]
    if len(thresholds) > STEPS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, STEPS).round().astype(int)]
    return np.searchsorted(-thresholds, -s.score), len(thresholds)


def _precisions(hits: np.ndarray, called: np.ndarray, images: int) -> np.ndarray:
    """Average precision (b,) of b resamples, from the positive and all images that each of the thresholds
    (m, b) adds; NaN without positive or without negative images."""
    tp, positives = np.cumsum(hits, axis=0), hits.sum(0)
    total = np.sum(hits * tp / np.maximum(np.cumsum(called, axis=0), 1), axis=0, dtype=float)
    return ratio(total, np.where(positives < images, positives, 0), np.nan)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """(b, K) -> (b,): mean of each row without its NaN; NaN where nothing is left."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(1), known.sum(1), np.nan)
