"""Two runs of several labels per image on the same images: what each label gained and lost."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

from explain.analysis.compare import (
    Comparison,
    compare,
    must_be_of_one_kind,
    must_be_the_same_pictures,
    same_names,
)
from explain.analysis.multi_label.counts import LabelCounts
from explain.analysis.multi_label.measures import LabelScores
from explain.analysis.statistics.bootstrap import Metric
from explain.analysis.statistics.intervals import percentiles
from explain.analysis.statistics.significance import holm
from explain.formatting import counted
from explain.run.outputs.label_sets import LabelSets
from explain.run.reader import RunData
from models.errors import UserError

AVERAGES = {
    "micro_f1": ("micro F1", 1),
    "macro_f1": ("macro F1", 1),
    "subset_accuracy": ("subset accuracy", 1),
    "hamming_loss": ("Hamming loss", -1),
}
"""Averages that are compared -> their names, and whether more (1) or less (-1) is better."""
SHOWN = 8  # names in a message


@dataclass(frozen=True, eq=False)
class LabelComparison:
    """Of n images that both hold with the same labels, and the K labels that both have (`classes`, as the
    data calls them): `numbers` (K, 2): of each label in A and in B; `rows` (n, 2): of each image in the
    tables of A and B. `relabeled`: images whose labels differ, which are left out. `alone`: labels of A
    alone, and of B alone, which are not compared. Both `scores` have the same images in the same order, so
    that a bootstrap sample draws the same images for both."""

    a: RunData
    b: RunData
    classes: tuple[str, ...]
    numbers: np.ndarray
    rows: np.ndarray
    scores_a: LabelScores
    scores_b: LabelScores
    relabeled: int
    alone: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def gained(self) -> np.ndarray:
        """(K,): average precision of B minus that of A; NaN where it is not defined."""
        return self.scores_b.average_precision - self.scores_a.average_precision

    @cached_property
    def gained_interval(self) -> np.ndarray:
        """(K, 2): of `gained`, by the paired bootstrap; NaN where nothing varies."""
        a, b = (s.resampled_precision for s in (self.scores_a, self.scores_b))
        ends = percentiles(b - a)
        ends[np.isnan(self.gained)] = np.nan
        return ends

    @cached_property
    def mean_average_precision(self) -> Metric:
        """mAP of both, and its difference."""
        a, b = self.scores_a, self.scores_b
        low, high = percentiles((b.resampled_mean - a.resampled_mean)[:, None])[0]
        values = a.mean_average_precision, b.mean_average_precision
        ends = a.mean_average_precision_interval, b.mean_average_precision_interval
        return Metric("mAP", *values, *ends, (float(low), float(high)), 1)

    @property
    def order(self) -> list[int]:
        """Labels, the largest change of the average precision first; those without one last."""
        return [int(k) for k in np.argsort(-np.nan_to_num(np.abs(self.gained), nan=-1), kind="stable")]

    def at(self, thresholds_a: np.ndarray, thresholds_b: np.ndarray) -> "LabelChanges":
        """`thresholds_…` (K,): of the labels that both have."""
        return LabelChanges(self, self.scores_a.at(thresholds_a), self.scores_b.at(thresholds_b))

    def at_named(self, threshold: str) -> "LabelChanges":
        """At a threshold as people write it (`LabelScores.thresholds`), in each run by itself."""
        return self.at(self.scores_a.thresholds(threshold), self.scores_b.thresholds(threshold))

    def of_label(self, k: int, changes: "LabelChanges", method: str | None = None) -> Comparison:
        """Both runs as runs of two classes, one label and its absence, at the thresholds of `changes`."""
        sides = ((self.a, changes.counts_a, 0), (self.b, changes.counts_b, 1))
        found = [
            run.label_sets.label(int(self.numbers[k, side])).at(float(counts.thresholds[k]), 1)
            for run, counts, side in sides
        ]
        return compare(found[0], found[1], method)


@dataclass(frozen=True, eq=False)
class LabelChanges:
    """A comparison at thresholds: the outcomes of both runs. A *decision* is whether an image has a label."""

    of: LabelComparison
    counts_a: LabelCounts
    counts_b: LabelCounts

    @cached_property
    def only_a(self) -> np.ndarray:
        """(K,): images whose label is decided right in A and wrong in B."""
        return np.count_nonzero(self._right(self.counts_a) & ~self._right(self.counts_b), axis=0)

    @cached_property
    def only_b(self) -> np.ndarray:
        return np.count_nonzero(self._right(self.counts_b) & ~self._right(self.counts_a), axis=0)

    @cached_property
    def p(self) -> np.ndarray:
        """(K,): of both deciding right equally often, by McNemar's exact test; not adjusted."""
        return mcnemar_exact(self.only_a, self.only_b)

    @property
    def adjusted_p(self) -> np.ndarray:
        """(K,): with Holm's correction for the K labels."""
        return holm(self.p)

    @cached_property
    def metrics(self) -> list[Metric]:
        """mAP and the averages in `AVERAGES`, each with the interval of its difference."""
        a, b = self.counts_a, self.counts_b
        found = [self.of.mean_average_precision]
        for key, (name, better) in AVERAGES.items():
            low, high = percentiles((b.resampled[key] - a.resampled[key])[:, None])[0]
            values, ends = (a.averages[key], b.averages[key]), (a.intervals[key], b.intervals[key])
            found.append(Metric(name, *values, *ends, (float(low), float(high)), better))
        return found

    def _right(self, counts: LabelCounts) -> np.ndarray:
        return np.asarray(counts.called == counts.truth)


def mcnemar_exact(only_a: np.ndarray, only_b: np.ndarray) -> np.ndarray:
    """p of McNemar's test for many pairs of counts: twice the smaller tail of the binomial distribution."""
    total = only_a + only_b
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(only_a, only_b), total, 0.5))


def compare_labels(a: RunData, b: RunData) -> LabelComparison:
    """Raises UserError where one of the runs has one class per image, and where they share no image or no
    label."""
    must_be_of_one_kind(a, b)
    classes, numbers, alone = _shared_labels(a, b)
    sets: tuple[LabelSets, LabelSets] = (a.label_sets, b.label_sets)
    rows = _shared_images(a, b)
    truth = [s.truth[rows[:, side]][:, numbers[:, side]] for side, s in enumerate(sets)]
    same = (truth[0] == truth[1]).all(1)
    if not same.any():
        raise UserError(
            f"The runs share {counted(len(rows), 'image')}, but none of them with the same labels: run both "
            "networks on the same labels."
        )
    rows = rows[same]
    must_be_the_same_pictures(a, b, pd.DataFrame({"row_a": rows[:, 0], "row_b": rows[:, 1]}))
    of_a, of_b = (
        LabelScores(truth[side][same], s.prob[rows[:, side]][:, numbers[:, side]].astype(float), classes)
        for side, s in enumerate(sets)
    )
    return LabelComparison(a, b, classes, numbers, rows, of_a, of_b, int((~same).sum()), alone)


def _shared_labels(
    a: RunData, b: RunData
) -> tuple[tuple[str, ...], np.ndarray, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Labels of both, in the order of A; their numbers in A and B (K, 2); and those of one alone."""
    to_a = same_names(a.data_names, b.data_names)
    pairs = sorted((k, number) for number, k in to_a.items())
    alone = (
        tuple(name for k, name in enumerate(a.data_names) if k not in to_a.values()),
        tuple(name for k, name in enumerate(b.data_names) if k not in to_a),
    )
    if not pairs:
        of_a, of_b = (", ".join(run.data_names[:SHOWN]) for run in (a, b))
        raise UserError(f"The runs share no label: A has {of_a}, B {of_b}.")
    return tuple(a.data_names[k] for k, _ in pairs), np.array(pairs), alone


def _shared_images(a: RunData, b: RunData) -> np.ndarray:
    """Rows (n, 2) of the images that both have an answer for, each once, in the order of A."""
    tables = []
    for run, which in ((a, "a"), (b, "b")):
        ok = run.ok.drop_duplicates("id")
        tables.append(pd.DataFrame({"id": ok["id"].to_numpy(), which: ok.index.to_numpy()}))
    both = tables[0].merge(tables[1], on="id")
    if not len(both):
        first = [repr(str(t["id"].iloc[0])) if len(t) else "none" for t in tables]
        raise UserError(
            f"The runs share no image: A has {len(tables[0])} (first {first[0]}), B {len(tables[1])} (first "
            f"{first[1]}): run both networks on the same data."
        )
    return both[["a", "b"]].to_numpy(int)
