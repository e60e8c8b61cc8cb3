"""Labels of one class that look exchanged for another: which pairs of classes, how many images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from explain.analysis.label_errors.sure_predictions import sure_counts, sure_rows
from explain.analysis.proposals.evidence import Evidence
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.statistics.significance import holm, more_errors
from explain.formatting import chance, counted, percent
from explain.run.reader import RunData
from models.measures.evaluation import wilson_interval

FEWEST = 8
"""Images of a pair."""
SMALLEST = 0.05
"""Fraction of the images that look like the one class and have the other one's label."""


@dataclass(frozen=True)
class Exchange:
    """Of the `sure` images that the network is surest to be `true` (class), `count` have the label `label`;
    the other way round `back` of `back_sure`. `low`, `high`: interval of 95 % (Wilson) of count / sure; `p`:
    adjusted for all pairs of classes."""

    true: int
    label: int
    count: int
    sure: int
    back: int
    back_sure: int
    low: float
    high: float
    p: float


MOST = 3
"""Pairs that are proposed."""


def exchanged_labels(evidence: Evidence) -> Iterator[Proposal]:
    """Pairs of classes of which one has labels of the other (`exchanges`)."""
    run = evidence.run
    for x in exchanges(run)[:MOST]:
        true, label = run.classes[x.true], run.classes[x.label]
        yield Proposal(
            "exchanged",
            f"Images of {true} may have the label {label}.",
            f"Of the {counted(x.sure, 'image')} that the network is surest are {true}, {x.count} have the "
            f"label {label} ({percent(x.low)} to {percent(x.high)}); the other way round {x.back} of "
            f"{x.back_sure} ({chance(x.p)}).",
            "Decide on them in Review or in their notes, and train on the corrected list.",
            "--labels labels.csv",
            sure_rows(run, x.true, x.label),
            x.count,
        )


def exchanges(run: RunData) -> list[Exchange]:
    """Pairs that stand out, the most images first: p below 0.001, at least `FEWEST` images and the fraction
    `SMALLEST`.

    Looked at is the surer half of the predictions of each class. There doubts are rare, and an exchanged
    label is as frequent as anywhere. What else contradicts the network is told by where it goes: classes
    that are hard to tell apart are taken for each other in both directions, a class that is predicted too
    often takes images of all labels, and a class that is hard is predicted as all others. So `_tests` has
    four, the largest p counts (an intersection-union test: R. Berger, 1982), and Holm's correction is over
    all pairs.
    """
    return pairs_of(*sure_counts(run))


def pairs_of(counts: np.ndarray, sure: np.ndarray) -> list[Exchange]:
    """As `exchanges`, of what `sure_predictions.sure_labels` counts."""
    true, given = np.nonzero(counts > counts.T)
    ps = _tests(counts, sure, true, given).max(0, initial=0.0)
    # of each two classes one direction can be tested: twice as many tests as were made, for both
    adjusted = np.minimum(1, 2 * holm(ps)) if len(ps) else ps
    found = []
    for a, b, p in zip(true.tolist(), given.tolist(), adjusted, strict=True):
        count, n = int(counts[a, b]), int(sure[a])
        if p < 1e-3 and count >= FEWEST and count >= SMALLEST * n:
            low, high = wilson_interval(count, n)
            back = int(counts[b, a]), int(sure[b])
            found.append(Exchange(a, b, count, n, *back, low, high, float(p)))
    return sorted(found, key=lambda x: (-x.count, x.p))


def _tests(counts: np.ndarray, sure: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One-sided p (4, pairs) that images that look like a have label b more often than images that look like
    b have label a, by fractions (Fisher's exact test) and by counts (binomial); more often than they have any
    other wrong label (binomial, with the mean of the others); and that label b is there more often than among
    images that look like any other class (binomial, with the mean of the others or the fraction of a, what
    is larger). `a`, `b`: classes of each pair (pairs,)."""
    there, back, even = counts[a, b], counts[b, a], 1 / max(1, len(counts) - 1)
    own = np.diag(counts)
    row, column = counts.sum(1)[a] - own[a], counts.sum(0)[b] - own[b]
    fraction = np.maximum(even, sure[a] / np.maximum(1, sure.sum() - sure[b]))
    return np.stack(
        [
            more_errors(there, sure[a], there + back, sure[a] + sure[b]),
            stats.binom.sf(there - 1, there + back, 0.5),
            stats.binom.sf(there - 1, row, even),
            stats.binom.sf(there - 1, column, np.minimum(1.0, fraction)),
        ]
    )
