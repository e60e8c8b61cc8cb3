"""Measures of images with any number of labels: average precision, F1 and their means. NumPy; scikit-learn is
imported where it is needed."""

from functools import partial

import numpy as np

SAMPLES = 500  # of a bootstrap
CALLED = 0.5  # a label is predicted from this probability on


def average_precision(truth: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Area below the steps of the precision-recall curve of one label, as scikit-learn's; NaN where no image,
    or every image, has it. `truth` bool (n,), `score` (n,); `weight` (n,): how often each image counts."""
    return _of_sorted(*_sorted(truth, score), weight)


def average_precisions(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(K,): of each label; `truth` bool (n, K), `score` (n, K)."""
    return np.array([average_precision(truth[:, k], score[:, k]) for k in range(truth.shape[1])])


def mean_average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """mAP: mean over the labels that have one; NaN where none has."""
    return mean_of_known(average_precisions(truth, score))


def mean_average_precision_interval(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """95 % interval of mAP: percentiles over `SAMPLES` bootstrap samples of the images."""
    rng, n = np.random.default_rng(0), len(truth)
    each = [partial(_of_sorted, *_sorted(truth[:, k], score[:, k])) for k in range(truth.shape[1])]
    weights = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(SAMPLES))
    drawn = [mean_of_known(np.array([precision(weight) for precision in each])) for weight in weights]
    low, high = np.nanpercentile(drawn, (2.5, 97.5)) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return float(low), float(high)


def f1_scores(truth: np.ndarray, called: np.ndarray) -> np.ndarray:
    """(K,): F1 of each label, 0 where no image has it and none is called so, as scikit-learn with
    `zero_division=0`. Both bool (n, K)."""
    hits = (truth & called).sum(0)
    total = truth.sum(0) + called.sum(0)
    return np.divide(2.0 * hits, total, out=np.zeros(len(hits)), where=total > 0)


def mean_of_known(values: np.ndarray) -> float:
    """Mean without NaN; NaN where nothing is left."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _sorted(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order from the largest score on, the truth in it, and the last image of each distinct score."""
    order = np.argsort(-score, kind="stable")
    return order, truth[order], np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)


def _of_sorted(order: np.ndarray, truth: np.ndarray, ends: np.ndarray, weight: np.ndarray | None) -> float:
    each = np.ones(len(order)) if weight is None else weight[order]
    called, hits = np.cumsum(each)[ends], np.cumsum(each * truth)[ends]
    if not len(order) or hits[-1] in (0, called[-1]):
        return float("nan")
    precision = np.divide(hits, called, out=np.zeros(len(hits)), where=called > 0)
    return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])
