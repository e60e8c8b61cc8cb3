"""Results that are numbers: errors, correlation and agreement of each output with the truth. NumPy only.

A residual is the predicted number minus the true one: positive where the network says too much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

import numpy as np

from explain.analysis.statistics.intervals import percentiles, resamples
from explain.run.outputs.number_run import NumbersRun

MEASURES = ("mae", "rmse", "pearson", "ccc", "r2", "bias")
"""MAE: mean absolute residual. RMSE: root of the mean squared residual. Pearson's r. CCC: concordance
correlation coefficient, 2 cov / (var + var + (difference of the means)²), with population variances (divided
by n) as in L. I. Lin, Biometrics 45, 1989. R²: 1 - sum of squared residuals / that of the deviations of the
truth from its mean. Bias: mean residual."""
CONSTANT = 1e-12  # a variance that is not above this fraction of the mean square is one of rounding


@dataclass(frozen=True, eq=False)
class NumberScores:
    """Of n images and R outputs: the true and the predicted numbers, float64 (n, R), finite. `left_out`:
    images without one of them."""

    truth: np.ndarray
    predicted: np.ndarray
    names: tuple[str, ...]
    left_out: int = 0

    @classmethod
    def of(cls, truth: np.ndarray, predicted: np.ndarray, names: Sequence[str], left_out: int = 0) -> Self:
        """Without the images that have a NaN or an infinite number in a row of either; they are added to
        `left_out`. Raises ValueError for unequal shapes."""
        truth, predicted = np.asarray(truth, float), np.asarray(predicted, float)
        if truth.shape != predicted.shape or truth.ndim != 2 or truth.shape[1] != len(names):
            raise ValueError(f"truth {truth.shape}, predictions {predicted.shape}, {len(names)} outputs")
        known = np.isfinite(truth).all(1) & np.isfinite(predicted).all(1)
        lost = int(len(known) - known.sum())
        return cls(truth[known], predicted[known], tuple(names), left_out + lost)

    @property
    def images(self) -> int:
        return len(self.truth)

    @cached_property
    def residuals(self) -> np.ndarray:
        """(n, R): predicted minus true."""
        return self.predicted - self.truth

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """(R,) of each name in `MEASURES`. NaN without images; Pearson, CCC and R² also where the truth is
        constant, and Pearson where the predictions are (CCC is 0 there)."""
        means = self._moments.mean(0) if self.images else np.full(self._moments.shape[1:], np.nan)
        return _measures(*means)

    @cached_property
    def intervals(self) -> dict[str, np.ndarray]:
        """(R, 2), 95 %, of each name in `MEASURES`: percentiles of `RESAMPLES` bootstrap samples of images;
        NaN where a measure is not defined or does not vary."""
        flat = self._moments.reshape(self.images, 8 * len(self.names))
        sums = np.concatenate([block.astype(float) @ flat for block in resamples(self.images)])
        means = sums.reshape(len(sums), *self._moments.shape[1:]) / max(self.images, 1)
        drawn = _measures(*np.moveaxis(means, 1, 0))
        ends = {name: percentiles(values) for name, values in drawn.items()}
        for name, value in self.values.items():
            ends[name][np.isnan(value)] = np.nan
        return ends

    @cached_property
    def _moments(self) -> np.ndarray:
        """(n, 8, R): what the measures are means of. Truth and predictions are centered, so that variances
        keep their digits."""
        truth, predicted, e = self.truth, self.predicted, self.residuals
        if self.images:
            truth, predicted = truth - truth.mean(0), predicted - predicted.mean(0)
        return np.stack([truth, predicted, truth**2, predicted**2, truth * predicted, np.abs(e), e, e**2], 1)

    @cached_property
    def of_mean(self) -> dict[str, np.ndarray]:
        """(R,) of each name in `MEASURES`, if the mean of the true numbers were the answer to every image."""
        values = self._of(np.broadcast_to(self.truth.mean(0), self.truth.shape))
        exact = {"ccc": values["ccc"] * 0, "r2": values["r2"] * 0, "bias": values["bias"] * 0}  # of rounding
        return values | exact | {"pearson": np.full(len(self.names), np.nan)}

    @cached_property
    def shuffled(self) -> dict[str, np.ndarray]:
        """(R,) of each name in `MEASURES`, if the answers were assigned to the images at random: expected
        values over all permutations, for RMSE and R² those of the mean square."""
        truth, predicted = self.truth, self.predicted
        bias = self.residuals.mean(0)
        square = truth.var(0) + predicted.var(0) + bias**2
        pairs = [_mean_distance(predicted[:, k], truth[:, k]) for k in range(len(self.names))]
        zero = np.where(np.isnan(self.values["pearson"]), np.nan, 0.0)
        r2 = 1 - _ratio(square, np.where(np.isnan(self.values["r2"]), 0, truth.var(0)))
        ccc = np.where(np.isnan(self.values["ccc"]), np.nan, 0.0)
        return {
            "mae": np.array(pairs),
            "rmse": np.sqrt(square),
            "pearson": zero,
            "ccc": ccc,
            "r2": r2,
            "bias": bias,
        }

    @property
    def better_than_mean(self) -> np.ndarray:
        """(R,) bool: whether the squared residuals are smaller than those of the mean of the true numbers
        beyond doubt: the interval of R² lies above 0."""
        found: np.ndarray = self.intervals["r2"][:, 0] > 0
        return found

    def _of(self, predicted: np.ndarray) -> dict[str, np.ndarray]:
        return NumberScores(self.truth, predicted, self.names).values

    def only(self, output: int) -> Self:
        """The same of one output."""
        one = slice(output, output + 1)
        return replace(
            self, truth=self.truth[:, one], predicted=self.predicted[:, one], names=(self.names[output],)
        )


def scores_of(run: NumbersRun) -> NumberScores:
    """Of all outputs of a run. Images that could not be read, or have no answer, are left out."""
    return NumberScores.of(run.truth, run.predicted, run.outputs)


@lru_cache(maxsize=32)  # at 50,000 images about 1 MB each
def scores_of_output(run: NumbersRun, output: int) -> NumberScores:
    """Of one output: R is 1. Of the images that have both its numbers, whatever the others have."""
    truth, predicted = run.truth[:, [output]], run.predicted[:, [output]]
    return NumberScores.of(truth, predicted, (run.outputs[output],))


def conclusion(scores: NumberScores, output: int) -> str:
    """That nothing is concluded where the answers are no better than the mean; empty otherwise."""
    if not scores.images or scores.better_than_mean[output]:
        return ""
    return (
        "no better than answering the mean (the interval of R² does not lie above 0): nothing is concluded "
        "from it"
    )


def _mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of |x - y| over all pairs of a number of `a` and one of `b`, (n,) each."""
    if not len(a):
        return float("nan")
    ordered, n = np.sort(b), len(b)
    below = np.searchsorted(ordered, a)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    each = a * below - sums[below] + (sums[-1] - sums[below]) - a * (n - below)
    return float(each.mean() / n)


def _measures(
    truth: np.ndarray,
    predicted: np.ndarray,
    truth_square: np.ndarray,
    predicted_square: np.ndarray,
    product: np.ndarray,
    absolute: np.ndarray,
    residual: np.ndarray,
    square: np.ndarray,
) -> dict[str, np.ndarray]:
    """Means (..., R) over the images -> the measures of them."""
    covariance = product - truth * predicted
    of_truth, of_predicted = _variance(truth, truth_square), _variance(predicted, predicted_square)
    varies = of_truth > 0
    return {
        "mae": absolute,
        "rmse": np.sqrt(square),
        "pearson": np.clip(_ratio(covariance, np.sqrt(of_truth) * np.sqrt(of_predicted)), -1, 1),
        "ccc": np.where(varies, _ratio(2 * covariance, of_truth + of_predicted + residual**2), np.nan),
        "r2": 1 - _ratio(square, of_truth),
        "bias": residual,
    }


def _variance(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    variance = square - mean**2
    return np.where(variance > CONSTANT * square, variance, 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
