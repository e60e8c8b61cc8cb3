"""Measures of images with any number of labels: average precision, F1 and their means. NumPy; scikit-learn is
imported where it is needed."""

import numpy as np

SAMPLES = 500  # of a bootstrap
ROOM = 20_000  # weights of samples and images that are counted at once
CALLED = 0.5  # a label is predicted from this probability on


def average_precision(truth: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Area below the steps of the precision-recall curve of one label, as scikit-learn's; NaN where no image,
    or every image, has it. `truth` bool (n,), `score` (n,); `weight` (n,): how often each image counts."""
    counts = np.ones(len(truth)) if weight is None else weight
    return float(_of_sorted(*_sorted(truth, score), counts[None])[0])


def average_precisions(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(K,): of each label; `truth` bool (n, K), `score` (n, K)."""
    return np.array([average_precision(truth[:, k], score[:, k]) for k in range(truth.shape[1])])


def mean_average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """mAP: mean over the labels that have one; NaN where none has."""
    return mean_of_known(average_precisions(truth, score))


def mean_average_precision_interval(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """95 % interval of mAP: percentiles over `SAMPLES` bootstrap samples of the images."""
    rng, n, drawn = np.random.default_rng(0), len(truth), list[float]()
    each = [_sorted(truth[:, k], score[:, k]) for k in range(truth.shape[1])]
    at_once = max(1, ROOM // max(1, n))
    for start in range(0, SAMPLES, at_once):
        count = min(at_once, SAMPLES - start)
        weights = np.array([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(count)])
        areas = np.array([_of_sorted(*label, weights) for label in each]).reshape(len(each), count)
        drawn += map(mean_of_known, areas.T)
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


def _of_sorted(order: np.ndarray, truth: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(S,): the area with each row of `weights` (S, n), how often each image counts."""
    if not len(order):
        return np.full(len(weights), np.nan)
    each = weights.take(order, 1)
    called, hits = np.cumsum(each, 1).take(ends, 1), np.cumsum(each * truth, 1).take(ends, 1)
    precision = np.divide(hits, called, out=np.zeros(hits.shape), where=called > 0)
    area = (np.diff(hits, prepend=0.0) * precision).sum(1)
    some = (hits[:, -1] > 0) & (hits[:, -1] < called[:, -1])
    return np.divide(area, hits[:, -1], out=np.full(len(weights), np.nan), where=some)
