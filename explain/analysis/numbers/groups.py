"""Groups of images of one output of a run of numbers: predicted too high, too low, nearest to the truth, or
inside a region; and errors by the true number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from explain.analysis.axis import Axis, decimals_of, number_text
from explain.analysis.numbers.plane import Box, Lasso, Near, Plane, parse_region
from explain.analysis.numbers.text import number

GROUPS = {"over": "over-estimates", "under": "under-estimates", "nearest": "nearest to the truth"}
"""Predicted too high, too low, and best."""
NOTES = {
    "over": "predicted too high, the largest error first",
    "under": "predicted too low, the largest error first",
    "nearest": "the smallest error first",
}
SORTS = {
    "largest error": ("error", False),
    "smallest error": ("error", True),
    "largest true number": ("truth", False),
    "smallest true number": ("truth", True),
    "largest predicted number": ("predicted", False),
    "smallest predicted number": ("predicted", True),
}
BINS = 12  # of the true number, at most
FEW = 5  # images of a bin of which little is known


@dataclass(frozen=True, eq=False)
class NumberGroup:
    """`rows` of the run's table, in the order in which they are shown first; `note` says what they are."""

    title: str
    note: str
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Bin:
    """Images whose true number is at least `low` and below `high`; the first and the last bin are open.
    `mean`: of predicted minus true; `spread`: its standard deviation (n - 1); `interval`: of the mean, 95 %
    by Student's t. NaN where there are too few images."""

    low: float
    high: float
    text: str
    box: Box
    count: int
    mean: float
    spread: float
    interval: tuple[float, float]

    @property
    def few(self) -> bool:
        return self.count < FEW


def number_group(plane: Plane, key: str, sort: str = "") -> NumberGroup | None:
    """`key`: a name of `GROUPS`, or a region as text. `sort`: a name of `SORTS`; empty: as listed. None for
    anything else."""
    if key in GROUPS:
        chosen, title, note = _of_sign(plane, key), GROUPS[key], NOTES[key]
    else:
        region = parse_region(key)
        if region is None:
            return None
        chosen, title, note = plane.inside(region), *_named(plane, region)
    return ordered(plane, title, note, chosen, sort)


def ordered(
    plane: Plane, title: str, note: str, chosen: np.ndarray | Sequence[int], sort: str = ""
) -> NumberGroup:
    """The group of the images `chosen` (m,), indices into the plane, in their order or in that of `sort`."""
    chosen = np.asarray(chosen, int)
    if sort in SORTS:
        name, ascending = SORTS[sort]
        values = np.abs(plane.residual) if name == "error" else getattr(plane, name)
        values = values[chosen] if ascending else -values[chosen]
        chosen, note = chosen[np.argsort(values, kind="stable")], f"{sort} first"
    return NumberGroup(title, note, plane.rows[chosen])


def _of_sign(plane: Plane, key: str) -> np.ndarray:
    if key == "nearest":
        return plane.by_error[::-1]
    error = plane.residual[plane.by_error]
    return np.asarray(plane.by_error[error > 0 if key == "over" else error < 0])


def _named(plane: Plane, region: Box | Lasso | Near) -> tuple[str, str]:
    """Title and note of a region."""
    if isinstance(region, Near):
        return f"around true {number(region.true)}, predicted {number(region.predicted)}", "the nearest first"
    if isinstance(region, Lasso):
        return "inside the lasso", "the largest error first"
    sides = [
        between(name, low, high, plane.axis)
        for name, low, high in (
            ("true", region.left, region.right),
            ("predicted", region.bottom, region.top),
        )
        if not (math.isinf(low) and math.isinf(high))
    ]
    return ", ".join(sides) or "all images", "the largest error first"


def between(name: str, low: float, high: float, axis: Axis) -> str:
    """'true 20 to 30', 'true below 20', 'true 20 or more'."""
    first, last = (number_text(v, min(axis.resolution, _needed(v))) for v in (low, high))
    if math.isinf(low):
        return f"{name} below {last}"
    return f"{name} {first} or more" if math.isinf(high) else f"{name} {first} to {last}"


def _needed(value: float) -> int:
    """Decimals that a number is written with."""
    return len(repr(value).partition(".")[2].rstrip("0")) if math.isfinite(value) else 0


def bins(plane: Plane) -> list[Bin]:
    """Bins of equal width of the true number, also those without images; empty without images."""
    if not len(plane.truth):
        return []
    whole = bool((plane.truth == np.round(plane.truth)).all())
    axis = Axis.of(plane.truth, BINS, whole)
    edges = axis.edges.tolist()
    which = np.searchsorted(edges[1:-1], plane.truth, "right")
    count = np.bincount(which, minlength=len(edges) - 1)
    total = np.bincount(which, plane.residual, len(edges) - 1)
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    square = np.bincount(which, (plane.residual - mean[which]) ** 2, len(edges) - 1)
    sides = [-math.inf, *edges[1:-1], math.inf]
    beyond = plane.truth.min() < edges[0], plane.truth.max() > edges[-1]
    return [
        Bin(
            edges[k],
            edges[k + 1],
            _bin_text(edges[k : k + 2], axis, k == 0 and beyond[0], k == len(edges) - 2 and beyond[1]),
            Box(sides[k], sides[k + 1]),
            int(count[k]),
            float(mean[k]),
            *_spread(float(mean[k]), float(square[k]), int(count[k])),
        )
        for k in range(len(edges) - 1)
    ]


def _bin_text(edges: list[float], axis: Axis, below: bool, above: bool) -> str:
    """`below`, `above`: whether images lie beyond the first or the last edge."""
    low, high = (number_text(edge, decimals_of(axis.step)) for edge in edges)
    return f"below {high}" if below else f"{low} or more" if above else f"{low} to {high}"


def _spread(mean: float, square: float, count: int) -> tuple[float, tuple[float, float]]:
    if count < 2:
        return math.nan, (math.nan, math.nan)
    spread = math.sqrt(square / (count - 1))
    half = float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count)
    return spread, (mean - half, mean + half)
