"""Checks of one output of a run of numbers. Each is a function evidence -> proposals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import stats

from explain.analysis.duplicates import similar_pictures
from explain.analysis.numbers.corrections import Correction, Slope, held_out, least_squares, shift, slope
from explain.analysis.numbers.groups import FEW as FEWEST_OF_BIN
from explain.analysis.numbers.groups import Bin, between, bins
from explain.analysis.numbers.outliers import FALSE_ALARMS, outlier_limit, suspects
from explain.analysis.numbers.plane import Plane
from explain.analysis.numbers.run_numbers import plane_of
from explain.analysis.numbers.text import number, signed_number
from explain.analysis.on_maps import MapsOf, method_of_findings
from explain.analysis.proposals.data_checks import FEW, SIGNIFICANT
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.slices import FEWEST, attributes, groups
from explain.analysis.statistics.significance import holm, larger
from explain.formatting import be, chance, counted, plural
from explain.run.outputs.number_run import NumbersRun

LEAST_WRONG, LEAST_PART = 4, 0.005  # suspect true numbers of a run, and as a fraction of the images
COMPRESSED = 0.8  # slope of predicted on true numbers below which it is reported
SURE = 3.290527  # standard errors of a two-sided p of 0.001
LEAST_GAIN, LEAST_GAIN_OF_LINE = 0.01, 0.02  # of the RMSE
LARGER = 1.25  # times the MAE of the other images
LEAST_PAIRS, APART = 3, 2  # of near duplicates; times the MAE between their true numbers
LEAST_IMAGES = 40
MOST = 3  # proposals of one check
NO_LINE = (
    "A line through the predictions does not lower the RMSE of images that it was not fitted on beyond doubt."
)
NO_INFORMATION = (
    "Scaling the predictions is not enough: train on more images with small and large numbers, or draw them "
    "more often."
)


@dataclass(frozen=True, eq=False)
class NumberEvidence:
    """Of one output of a run."""

    run: NumbersRun
    output: int

    @property
    def plane(self) -> Plane:
        return plane_of(self.run, self.output)

    @cached_property
    def distance(self) -> np.ndarray:
        """(n,): absolute residuals."""
        return np.abs(self.plane.residual)

    @cached_property
    def border_mass(self) -> dict[str, np.ndarray]:
        """Method -> of each image the fraction of the positive mass of its map at the border (n,), NaN
        without a positive value."""
        run, rows = self.run, self.plane.rows
        return {m: run.statistic(m, "border_mass", self.output)[rows] for m in run.manifest.request.methods}

    @property
    def method(self) -> str:
        """As `on_maps.method_of_findings`."""
        if "border_mass" not in self.run.manifest.request.statistics:
            return self.run.manifest.request.methods[0]
        missing = {m: int(np.isnan(mass).sum()) for m, mass in self.border_mass.items()}
        return method_of_findings(self.asked, missing)

    @property
    def asked(self) -> NumbersRun:
        """The run, with this output asked for."""
        return self.run if self.run.index == self.output else self.run.output(self.output)

    @property
    def maps(self) -> MapsOf:
        """Whose maps findings rest on."""
        return MapsOf(self.asked, self.method)

    @cached_property
    def bins(self) -> list[Bin]:
        return bins(self.plane)

    @cached_property
    def bin_of(self) -> np.ndarray:
        """(n,): number of the bin of the true number."""
        return np.searchsorted([b.low for b in self.bins[1:]], self.plane.truth, "right")

    @cached_property
    def within_bin(self) -> np.ndarray:
        """(n,): rank of the absolute residual among images of the same bin of the true number, from 0 to
        1."""
        which, found = self.bin_of, np.empty(len(self.distance))
        for k in np.unique(which):
            chosen = which == k
            found[chosen] = (stats.rankdata(self.distance[chosen]) - 0.5) / chosen.sum()
        return found


def wrong_numbers(found: NumberEvidence) -> Iterator[Proposal]:
    """True numbers with an error beyond what the spread of the others explains."""
    plane = found.plane
    chosen, n = suspects(plane.residual), len(plane.rows)
    if len(chosen) < max(LEAST_WRONG, LEAST_PART * n):
        return
    limit = outlier_limit(plane.residual)
    yield Proposal(
        "labels",
        f"{len(chosen):,} true numbers may be wrong.",
        f"Their residuals are further than {number(limit)} from the median residual; half of all residuals "
        f"are within {number(float(np.median(np.abs(plane.residual - np.median(plane.residual)))))}. Of "
        f"{counted(n, 'image')} whose errors are spread as the smaller ones are, {FALSE_ALARMS:g} would be "
        "that far.",
        "Look at them first: give the right numbers in their notes, and train on the corrected list; the "
        "others are the worst errors of the network.",
        "--labels labels.csv",
        plane.rows[chosen],
        len(chosen),
    )


def compressed_range(found: NumberEvidence) -> Iterator[Proposal]:
    """Large true numbers are predicted too small and small ones too large (regression to the mean)."""
    plane, on_truth = found.plane, _on_truth(found.plane)
    if on_truth is None:
        return
    low, high = np.quantile(plane.truth, [0.2, 0.8])
    small, large = plane.truth <= low, plane.truth >= high
    rows = np.flatnonzero((small & (plane.residual > 0)) | (large & (plane.residual < 0)))
    better, (start, end) = _scaling(plane), on_truth.interval()
    text, advice = (NO_LINE, NO_INFORMATION) if better is None else (better.text, better.advice)
    yield Proposal(
        "range",
        "Large numbers are predicted too small, and small ones too large.",
        f"Slope of predicted on true numbers {on_truth.value:.2f} (95 % interval {start:.2f} to {end:.2f}; 1 "
        f"for right predictions). Mean residual of the smallest fifth of the true numbers "
        f"{signed_number(float(plane.residual[small].mean()))}, of the largest fifth "
        f"{signed_number(float(plane.residual[large].mean()))}. {text}",
        advice,
        "",
        plane.rows[rows[np.argsort(-found.distance[rows], kind="stable")]],
        len(rows),
    )


def _on_truth(plane: Plane) -> Slope | None:
    """The slope of predicted on true numbers where it is below `COMPRESSED` beyond doubt."""
    found = slope(plane.truth, plane.predicted)
    return found if found is not None and found.interval(SURE)[1] < COMPRESSED else None


def wrong_scale(found: NumberEvidence) -> Iterator[Proposal]:
    """Predictions that vary too much or too little; not where `compressed_range` says it."""
    plane = found.plane
    better = _scaling(plane)
    if better is None or _on_truth(plane) is not None:
        return
    yield Proposal(
        "scale",
        f"Predicted numbers vary too {'much' if better.slope.value < 1 else 'little'}.",
        better.text,
        better.advice,
        "",
        plane.rows[plane.by_error],
        len(plane.rows),
    )


@dataclass(frozen=True)
class Scaling:
    """A line through the predictions, and its slope: of true on predicted numbers."""

    correction: Correction
    slope: Slope

    @property
    def text(self) -> str:
        (start, end), found = self.slope.interval(), self.correction
        return (
            f"Slope of true on predicted numbers {self.slope.value:.2f} (95 % interval {start:.2f} to "
            f"{end:.2f}; 1 for a calibrated network). A line fitted on one half of the images lowers the "
            f"RMSE of the other half from {number(found.before)} (bias subtracted) to {number(found.after)}."
        )

    @property
    def advice(self) -> str:
        a, b = self.correction.line
        return f"Replace each prediction p by {number(a)} {'−' if b < 0 else '+'} {number(abs(b))} p."


def _scaling(plane: Plane) -> Scaling | None:
    """None where the slope may be 1, and where the line does not lower the RMSE of the other half."""
    found = slope(plane.predicted, plane.truth)
    if found is None or not abs(found.value - 1) > SURE * found.error:
        return None
    correction = held_out(plane.truth, plane.predicted, least_squares, shift)
    return Scaling(correction, found) if correction.gain >= LEAST_GAIN_OF_LINE else None


def bias(found: NumberEvidence) -> Iterator[Proposal]:
    """A mean residual that is not 0, and whose subtraction lowers the error of other images."""
    plane = found.plane
    better = held_out(plane.truth, plane.predicted, shift)
    mean, error = float(plane.residual.mean()), float(stats.sem(plane.residual))
    if not abs(mean) > SURE * error or better.gain < LEAST_GAIN:
        return
    half = 1.959964 * error
    rows = plane.by_error[plane.residual[plane.by_error] * math.copysign(1, mean) > 0]
    yield Proposal(
        "bias",
        f"Predicted numbers are too {'large' if mean > 0 else 'small'} on average.",
        f"Mean residual {signed_number(mean)} (95 % interval {number(mean - half)} to "
        f"{number(mean + half)}). Subtracting that of one half of the images lowers the RMSE of the other "
        f"half from {number(better.before)} to {number(better.after)}.",
        f"{'Subtract' if mean > 0 else 'Add'} {number(abs(mean))}, after checking that unit and "
        "normalization of the numbers are those of training.",
        "",
        plane.rows[rows],
        len(rows),
    )


def few_images(found: NumberEvidence) -> Iterator[Proposal]:
    """Ranges of the true number with less than a third of the images of the median range, and larger
    errors."""
    plane, filled = found.plane, [b for b in found.bins if b.count]
    median = float(np.median([b.count for b in filled])) if len(filled) > 2 else 0.0
    rare = [b for b in filled if FEWEST_OF_BIN <= b.count < FEW * median]
    inside = [np.isin(np.arange(len(plane.rows)), plane.inside(b.box)) for b in rare]
    p = holm(larger(found.distance, inside))
    which = [
        k
        for k, chosen in enumerate(inside)
        if p[k] < SIGNIFICANT and _ratio(found.distance, chosen) >= LARGER
    ]
    if not which:
        return
    chosen = np.any([inside[k] for k in which], axis=0)
    each = "; ".join(
        f"{between('true', rare[k].box.left, rare[k].box.right, plane.axis)}: "
        f"{counted(rare[k].count, 'image')}, MAE "
        f"{number(float(found.distance[inside[k]].mean()))} ({chance(p[k])})"
        for k in which
    )
    rows = np.flatnonzero(chosen)
    yield Proposal(
        "few images",
        f"{counted(len(which), 'range')} of the true number with few images and larger errors.",
        f"{each}. The median range has {median:,.0f} images; MAE of all other images "
        f"{number(float(found.distance[~chosen].mean()))}.",
        "Collect more images in the range, or draw them more often in training.",
        "",
        plane.rows[rows[np.argsort(-found.distance[rows], kind="stable")]],
        len(rows),
    )


def disagreeing_duplicates(found: NumberEvidence) -> Iterator[Proposal]:
    """Nearly the same picture with true numbers that are far apart: the network cannot be right on both."""
    plane, truth = found.plane, found.run.truth[:, found.output]
    pairs, similarity = _similar(found.run)
    apart = np.abs(truth[pairs[:, 0]] - truth[pairs[:, 1]])
    limit = APART * float(found.distance.mean())
    known = np.isin(pairs, plane.rows).all(1)
    chosen = np.flatnonzero(known & (apart > limit))
    if len(chosen) < LEAST_PAIRS:
        return
    order = chosen[np.lexsort((-similarity[chosen], -apart[chosen]))]
    rows = list(dict.fromkeys(pairs[order].ravel().tolist()))
    yield Proposal(
        "duplicates",
        f"{counted(len(chosen), 'pair')} of nearly the same picture {plural(len(chosen), 'has', 'have')} "
        "different true numbers.",
        f"They differ by more than {number(limit)}, {APART} times the MAE; at most by "
        f"{number(float(apart[chosen].max()))}. {counted(int(known.sum()), 'pair')} {be(int(known.sum()))} "
        "nearly the same picture.",
        "At least one number of a pair is probably wrong, or the picture does not show it: correct the data.",
        "",
        np.array(rows, int),
        len(chosen),
    )


@lru_cache(maxsize=4)
def _similar(run: NumbersRun) -> tuple[np.ndarray, np.ndarray]:
    """As `similar_pictures`, once for all outputs."""
    return similar_pictures(run)


def worse_slices(found: NumberEvidence) -> Iterator[Proposal]:
    """Groups of images with larger errors than the rest, among images of similar true numbers too."""
    run, plane = found.run, found.plane
    where = run.ok.index.get_indexer(plane.rows)
    tested = [
        (f"{name}: {value}", chosen[where])
        for _, name, values in attributes(run, run.manifest.request.methods[0])
        for value, chosen in groups(name, values)
        if FEWEST <= chosen[where].sum() <= len(where) - FEWEST
    ]
    if not tested:
        return
    p = np.maximum(
        holm(larger(found.distance, [chosen for _, chosen in tested])),
        holm(larger(found.within_bin, [chosen for _, chosen in tested])),
    )
    worse = [
        k
        for k, (_, chosen) in enumerate(tested)
        if p[k] < SIGNIFICANT and _ratio(found.distance, chosen) >= LARGER
    ]
    for k in sorted(worse, key=lambda k: -_ratio(found.distance, tested[k][1]))[:MOST]:
        name, chosen = tested[k]
        rows = np.flatnonzero(chosen)
        yield Proposal(
            "slice",
            f"Errors are larger where {name}.",
            f"MAE of {counted(len(rows), 'image')} {number(float(found.distance[chosen].mean()))}, of the "
            f"others {number(float(found.distance[~chosen].mean()))} ({chance(p[k])}, also among images of "
            "similar true numbers).",
            "Collect more such images, or augment training so that others look like them.",
            "",
            plane.rows[rows[np.argsort(-found.distance[rows], kind="stable")]],
            len(rows),
        )


def _ratio(distance: np.ndarray, chosen: np.ndarray) -> float:
    """MAE inside by MAE outside."""
    outside = float(distance[~chosen].mean())
    return float(distance[chosen].mean()) / outside if outside > 0 else math.inf
