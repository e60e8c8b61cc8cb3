"""The threshold of the best F1, and what it is worth on images that it was not chosen on."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from explain.analysis.binary.measures import COUNT_RESAMPLES, BinaryScores, Interval


@dataclass(frozen=True)
class BetterThreshold:
    """`threshold`: of the best F1 on all images, `best` there: optimistic, because it was chosen on them.
    `held_out`: F1 of decisions by the threshold that is best on the other half of the images. `at_half`: F1
    at 0.5. `interval` (95 %) of `held_out - at_half`, and the one-sided `p` of no gain."""

    threshold: float
    best: float
    held_out: float
    at_half: float
    interval: Interval
    p: float

    @property
    def gain(self) -> float:
        return self.held_out - self.at_half


def better_threshold(scores: BinaryScores, seed: int = 0) -> BetterThreshold | None:
    """None with fewer than two positive or two negative images: there are no halves.

    Two-fold cross-validation, with as many positive images in each half. The interval is from
    `COUNT_RESAMPLES` bootstrap samples of the joint outcomes of both decisions for the images of each class;
    p by the normal distribution with their standard deviation.
    """
    if min(scores.positives, scores.negatives) < 2:
        return None
    by_half = cross_decided(scores, seed)
    at_half, truth = scores.score >= 0.5, scores.truth
    threshold = scores.preset("best-f1")
    held_out, plain = (f1_of(truth, called) for called in (by_half, at_half))
    drawn = _resampled_gain(truth, by_half, at_half)
    spread, low, high = float(drawn.std()), *(float(v) for v in np.quantile(drawn, [0.025, 0.975]))
    p = float(stats.norm.sf((held_out - plain) / spread)) if spread > 0 else 1.0
    return BetterThreshold(
        threshold, f1_of(truth, scores.score >= threshold), held_out, plain, (low, high), p
    )


def cross_decided(scores: BinaryScores, seed: int = 0) -> np.ndarray:
    """(n,) bool: each image decided by the threshold of the best F1 on the half that it is not in."""
    rng, second = np.random.default_rng(seed), np.zeros(len(scores.truth), bool)
    for side in (True, False):
        which = np.flatnonzero(scores.truth == side)
        second[rng.permutation(which)[: len(which) // 2]] = True
    called = np.zeros(len(second), bool)
    for half in (second, ~second):
        chosen = BinaryScores(scores.truth[~half], scores.score[~half]).preset("best-f1")
        called[half] = scores.score[half] >= chosen
    return called


def f1_of(truth: np.ndarray, called: np.ndarray) -> float:
    """0 where nothing is found. `truth`, `called` (n,) bool."""
    return float(2 * (truth & called).sum() / max(1, truth.sum() + called.sum()))


def _resampled_gain(truth: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """(B,): F1 of `new` minus F1 of `old` in bootstrap samples with as many images of each class."""
    rng, positives = np.random.default_rng(0), int(truth.sum())
    called = np.zeros((2, 2, COUNT_RESAMPLES))  # by which decision, of which class
    for side in (True, False):
        joint = np.bincount(2 * new[truth == side] + old[truth == side], minlength=4)
        drawn = rng.multinomial(joint.sum(), joint / joint.sum(), COUNT_RESAMPLES)
        called[0, int(side)], called[1, int(side)] = drawn[:, 2] + drawn[:, 3], drawn[:, 1] + drawn[:, 3]
    f1 = 2 * called[:, 1] / np.maximum(1, positives + called.sum(1))
    return np.asarray(f1[0] - f1[1])
