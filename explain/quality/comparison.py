"""Whether a method's maps are better than its controls: paired differences over images, with an interval and
a test. NumPy and SciPy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from explain.analysis.statistics.intervals import percentiles, resamples
from explain.analysis.statistics.significance import holm, rank_difference, signed_rank

LEVEL, FEWEST = 0.05, 10
"""Largest adjusted p of a difference that counts, and the fewest images of a conclusion."""

LEAST = 0.0005
"""The smallest mean difference of probabilities that counts, whatever p; less is printed as 0.000."""

EQUAL = 1e-6
"""Values that differ by less, as a fraction of the largest, are the same up to rounding."""

Outcome = Literal["better", "not better", "worse", "too few images"]


@dataclass(frozen=True)
class Comparison:
    """One figure of a method against its best control, the one with the largest mean. Over the `images` in
    which all values are known: `mean` of the method, `means` of each control; `difference`: mean of method
    minus best control, with its bootstrap `interval` of 95 % (NaN where nothing varies); `p`: Wilcoxon's
    signed-rank test of the paired differences, two-sided, adjusted over the methods (S. Holm, 1979); `wins`:
    fraction of the images in which the method is better; equal ones are not. `ranks`: the sum of the ranks
    of the images in which it is better minus that of the others, over both (D. S. Kerby, *The simple
    difference formula*, 2014), in [-1, 1]: which way p points. The mean may point the other way, where few
    images differ much; nothing is concluded then, nor from a mean difference below `least`."""

    images: int
    mean: float
    means: Mapping[str, float]
    best: str
    difference: float
    interval: tuple[float, float]
    p: float
    wins: float
    ranks: float
    least: float = 0.0

    @property
    def negligible(self) -> bool:
        """Whether the difference is no chance, and too small to count."""
        return self.p < LEVEL and abs(self.difference) < self.least

    @property
    def outcome(self) -> Outcome:
        if self.images < FEWEST:
            return "too few images"
        if not self.p < LEVEL or self.negligible or self.difference * self.ranks <= 0:
            return "not better"
        return "better" if self.difference > 0 else "worse"


def compare(
    methods: Mapping[str, np.ndarray],
    controls: Mapping[str, Mapping[str, np.ndarray]],
    least: float = 0.0,
) -> dict[str, Comparison]:
    """`methods`: values (N,) of each method, larger is better; `controls`: for each method the values (N,) of
    its controls for the same images. NaN where a value is not known: that image does not count for the
    method. `least`: of `Comparison`."""
    made = {name: _against_best(values, controls[name]) for name, values in methods.items()}
    adjusted = holm(np.array([p for _, p in made.values()]))
    return {
        name: Comparison(**fields, p=float(p), least=least)
        for (name, (fields, _)), p in zip(made.items(), adjusted, strict=True)
    }


def _against_best(values: np.ndarray, controls: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], float]:
    """The fields of a `Comparison` but p, and p before it is adjusted; NaN for too few images."""
    table = np.stack([values, *controls.values()])
    table = table[:, np.isfinite(table).all(0)]
    n = table.shape[1]
    if not n:
        nothing = {name: float("nan") for name in controls}
        empty = {"mean": float("nan"), "means": nothing, "best": "", "difference": float("nan")}
        unknown = dict.fromkeys(("wins", "ranks"), float("nan"))
        return empty | unknown | {"images": 0, "interval": (float("nan"),) * 2}, float("nan")
    own, *others = table
    most = float(np.abs(table).max())
    means = {name: float(other.mean()) for name, other in zip(controls, others, strict=True)}
    best = max(means, key=means.__getitem__)
    difference = without_rounding(own - others[list(means).index(best)], most)
    fields: dict[str, Any] = {
        "images": n,
        "mean": float(own.mean()),
        "means": means,
        "best": best,
        "difference": float(difference.mean()),
        "interval": mean_interval(difference),
        "wins": float((difference > 0).mean()),
        "ranks": rank_difference(difference),
    }
    return fields, signed_rank(difference) if n >= FEWEST else float("nan")


def without_rounding(differences: np.ndarray, most: float) -> np.ndarray:
    """Differences of values of which `most` is the largest magnitude, zero where they are rounding."""
    return np.where(np.abs(differences) <= EQUAL * most, 0.0, differences)


def same_way(differences: np.ndarray) -> bool:
    """Whether mean and ranks of differences (n,) point the same way. Where few images differ much and most
    the other way they do not, and p says nothing of the mean."""
    return float(differences.mean()) * rank_difference(differences) > 0


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of (n,): percentiles of bootstrap samples; NaN where nothing varies."""
    means = np.concatenate([block @ values / len(values) for block in resamples(len(values))])
    low, high = percentiles(means[:, None])[0]
    return float(low), float(high)
