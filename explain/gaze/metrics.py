"""How well a map predicts where people looked. Every metric has two variants, as its two reference
implementations count.

*tuebingen*: M. Kümmerer et al. 2018 (Saliency benchmarking made easy) and pysaliency: ties count half, every
fixation counts, negatives are all pixels. *mit*: Z. Bylinskii et al. 2019 (What do different evaluation
metrics tell us about saliency models?) and their MATLAB code: a pixel that was fixated counts once, maps are
min-max scaled, ROC curves of Borji and of shuffled fixations have steps of 0.1.

A map that is constant or not finite has no score: NaN, and `problem` says why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.errors import UserError
from models.gaze.density import distribution, resized

VARIANTS = ("tuebingen", "mit")
SPLITS, STEP, OTHERS = 100, 0.1, 10  # of the MIT code: random splits, step of the thresholds, other images
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of one image. `rows`, `cols` (n,): fixated pixels; `people` (h, w): their density,
    summing to 1; `others` (m, 2): fixations of other images as pixels of this one, image after image, of
    which `borders` says where each begins; `prior` (h, w): the baseline of information gain, summing to 1."""

    rows: np.ndarray
    cols: np.ndarray
    people: np.ndarray
    others: np.ndarray | None = None
    borders: np.ndarray | None = None
    prior: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.people.shape  # type: ignore[return-value]

    @cached_property
    def fixated(self) -> tuple[np.ndarray, np.ndarray]:
        """Every fixated pixel once."""
        flat = np.unique(np.ravel_multi_index((self.rows, self.cols), self.size))
        return np.unravel_index(flat, self.size)  # type: ignore[return-value]


class Map:
    """A map at the image's size, with values that several metrics need; each is computed once."""

    def __init__(self, values: np.ndarray, size: tuple[int, int]):
        self.values = resized(values, size)

    @cached_property
    def ordered(self) -> np.ndarray:
        return np.sort(self.values, axis=None)

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and population standard deviation."""
        return float(self.values.mean(dtype=np.float64)), float(self.values.std(dtype=np.float64))

    @cached_property
    def fractions(self) -> np.ndarray:
        """As a distribution: where values are negative, all are raised until the least is zero."""
        return distribution(self.values - min(0.0, float(self.ordered[0])))

    @cached_property
    def scaled(self) -> np.ndarray:
        """Min-max scaled to [0, 1]."""
        low, high = float(self.ordered[0]), float(self.ordered[-1])
        return (self.values.astype(np.float64) - low) / (high - low)


def problem(values: np.ndarray, truth: Truth) -> str:
    """Why a map has no score, or ''."""
    if not np.isfinite(values).all():
        return "the map is not finite"
    if values.min() == values.max():
        return "the map is the same everywhere"
    return "" if len(truth.rows) or truth.people.any() else "nobody looked at this image"


def auc_judd(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """Area under the ROC curve, fixations against pixels. tuebingen: against all pixels, ties count half. mit
    (AUC-Judd): every fixated pixel once, thresholds at their values, negatives are the other pixels; noise of
    1e-7 breaks ties."""
    if variant == "tuebingen":
        return roc_area(m.values[truth.rows, truth.cols], m.ordered)
    rows, cols = truth.fixated
    jittered = m.values.astype(np.float64) + rng.random(m.values.shape) / 1e7
    at = np.sort(jittered[rows, cols])[::-1]
    above = jittered.size - np.searchsorted(np.sort(jittered, axis=None), at, "left")
    n = len(at)
    hits = np.arange(1, n + 1)
    return _area(np.r_[0, (above - hits) / (jittered.size - n), 1], np.r_[0, hits / n, 1])


def auc_borji(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """ROC area, fixations against as many random pixels, mean of 100 draws (A. Borji et al. 2013). mit:
    thresholds in steps of 0.1; tuebingen has no such metric: the same draws, each counted without steps and
    with ties as half."""
    rows, cols = truth.fixated if variant == "mit" else (truth.rows, truth.cols)
    drawn = rng.integers(m.values.size, size=(SPLITS, len(rows)))
    return _mean_area(m, rows, cols, drawn, variant)


def auc_shuffled(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """ROC area, fixations against those of other images, which the center bias does not help (B. Tatler et
    al. 2005; L. Zhang et al. 2008). tuebingen: against all of them, ties count half. mit: fixated pixels of
    ten other images, as many as fixations at most, 100 draws, steps of 0.1."""
    if truth.others is None or not len(truth.others):
        return float("nan")
    if variant == "tuebingen":
        return roc_area(
            m.values[truth.rows, truth.cols], np.sort(m.values[truth.others[:, 0], truth.others[:, 1]])
        )
    rows, cols = truth.fixated
    flat = _of_ten_images(truth, rng)
    n = min(len(rows), len(flat))
    order = np.argpartition(rng.random((SPLITS, len(flat))), n - 1, axis=1)[:, :n]
    return _mean_area(m, rows, cols, flat[order], variant)


def nss(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """Mean of (map - mean) / standard deviation at fixations (R. Peters et al. 2005). tuebingen: at every
    fixation, population deviation. mit: at every fixated pixel once, sample deviation."""
    mean, deviation = m.moments
    rows, cols = truth.fixated if variant == "mit" else (truth.rows, truth.cols)
    deviation *= np.sqrt(m.values.size / (m.values.size - 1)) if variant == "mit" else 1.0
    return float((m.values[rows, cols].mean(dtype=np.float64) - mean) / deviation)


def correlation(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """Pearson's correlation with the blurred fixations; the same in both variants."""
    mean, deviation = m.moments
    theirs = truth.people - truth.people.mean(dtype=np.float64)
    spread = float(theirs.std(dtype=np.float64))
    return (
        float(((m.values - mean) * theirs).mean(dtype=np.float64) / (deviation * spread))
        if spread
        else float("nan")
    )


def similarity(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """Histogram intersection with the blurred fixations, both as distributions (M. Swain, D. Ballard 1991).
    mit: both are min-max scaled before."""
    if variant == "mit":
        theirs = truth.people
        span = float(theirs.max() - theirs.min())
        ours, theirs = (
            distribution(m.scaled),
            distribution((theirs - theirs.min()) / span) if span else theirs,
        )
        return float(np.minimum(ours, theirs).sum(dtype=np.float64))
    return float(np.minimum(m.fractions, truth.people).sum(dtype=np.float64))


def divergence(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """Kullback-Leibler divergence in nats of the map from the blurred fixations q: sum of q log(eps + q / (p
    + eps)), eps 2.2e-16; both variants."""
    q = truth.people.astype(np.float64)
    return float((q * np.log(EPS + q / (m.fractions + EPS))).sum())


def information_gain(m: Map, truth: Truth, variant: str, rng: np.random.Generator) -> float:
    """Bits a fixation by which the map, as a distribution, is likelier than the prior (M. Kümmerer et al.
    2015): mean of log2(eps + p) - log2(eps + b). mit: both are min-max scaled before, every fixated pixel
    counts once."""
    if truth.prior is None:
        return float("nan")
    p, b, (rows, cols) = m.fractions, truth.prior, (truth.rows, truth.cols)
    if variant == "mit":
        (rows, cols), p, b = (
            truth.fixated,
            distribution(m.scaled),
            distribution(truth.prior - truth.prior.min()),
        )
    at, before = p[rows, cols].astype(np.float64), b[rows, cols].astype(np.float64)
    return float((np.log2(EPS + at) - np.log2(EPS + before)).mean())


@dataclass(frozen=True)
class Metric:
    """`compute(map, truth, variant, rng)`. `better`: 1 for more, -1 for less; `points`: whether it needs
    fixations, not only their density."""

    name: str
    title: str
    compute: Callable[[Map, Truth, str, np.random.Generator], float]
    better: int = 1
    points: bool = True
    unit: str = ""


METRICS = {
    m.name: m
    for m in (
        Metric("auc", "AUC-Judd", auc_judd),
        Metric("auc_borji", "AUC-Borji", auc_borji),
        Metric("sauc", "sAUC", auc_shuffled),
        Metric("nss", "NSS", nss),
        Metric("cc", "CC", correlation, points=False),
        Metric("sim", "SIM", similarity, points=False),
        Metric("kl", "KL", divergence, -1, points=False, unit="nats"),
        Metric("ig", "IG", information_gain, unit="bits a fixation"),
    )
}
"""In the order in which they are shown. A new metric is one entry here."""


def scores(values: np.ndarray, truth: Truth, variant: str = "tuebingen", seed: int = 0) -> dict[str, float]:
    """Every metric of a map (h, w) of any size: it is enlarged to the image's, bilinear. NaN where `problem`
    says why, and for metrics of fixations where only their density is known. Draws are the same for the same
    seed. Raises UserError for an unknown variant."""
    if variant not in VARIANTS:
        raise UserError(f"No variant '{variant}': choose from {', '.join(VARIANTS)}.")
    if problem(values, truth):
        return dict.fromkeys(METRICS, float("nan"))
    m = Map(values, truth.size)
    return {
        name: metric.compute(m, truth, variant, np.random.default_rng(seed))
        if len(truth.rows) or not metric.points
        else float("nan")
        for name, metric in METRICS.items()
    }


def roc_area(positive: np.ndarray, ordered: np.ndarray) -> float:
    """Fraction of pairs in which a positive exceeds a negative, ties as half (H. Mann, D. Whitney 1947).
    `ordered`: the negatives, ascending."""
    below, upto = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float((below + upto).mean() / (2 * len(ordered)))


def _area(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.trapezoid(y, x))


def _mean_area(m: Map, rows: np.ndarray, cols: np.ndarray, drawn: np.ndarray, variant: str) -> float:
    """Mean ROC area of fixated pixels against `drawn` ones (splits, k), flat."""
    if variant == "tuebingen":
        at = np.sort(m.values[rows, cols])
        negatives = m.values.ravel()[drawn]
        return 1 - float(
            (np.searchsorted(at, negatives, "left") + np.searchsorted(at, negatives, "right")).mean()
            / (2 * len(at))
        )
    # thresholds above a split's largest value add corners at the origin, where the curve begins anyway
    steps = (np.arange(int(1 / STEP) + 1) * STEP)[::-1]
    hits = (m.scaled[rows, cols][:, None] >= steps).mean(0)
    alarms = (m.scaled.ravel()[drawn][:, :, None] >= steps).mean(1)
    return float(np.mean([_area(np.r_[0, a, 1], np.r_[0, hits, 1]) for a in alarms]))


def _of_ten_images(truth: Truth, rng: np.random.Generator) -> np.ndarray:
    """Pixels (flat) that were fixated in ten of the other images, each once."""
    assert truth.others is not None
    flat = np.ravel_multi_index((truth.others[:, 0], truth.others[:, 1]), truth.size)
    if truth.borders is None or len(truth.borders) <= OTHERS:
        return np.unique(flat)
    ends = np.r_[truth.borders[1:], len(flat)]
    chosen = rng.choice(len(truth.borders), OTHERS, replace=False)
    return np.unique(np.concatenate([flat[truth.borders[k] : ends[k]] for k in chosen]))
