"""Checks of pairs of labels: called instead of each other, and almost always together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from explain.analysis.multi_label.checks import MOST
from explain.analysis.multi_label.evidence import LabelEvidence
from explain.analysis.proposals.data_checks import SIGNIFICANT
from explain.analysis.proposals.model_checks import PAIR
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.statistics.significance import more_errors
from explain.formatting import chance, counted, percent, plural

FEWEST = 10  # images that have a label
TOGETHER = 0.9  # fraction of a label's images that have the other one, too
MORE = 1.5  # times the number that is expected by coincidence


@dataclass(frozen=True)
class LabelPair:
    """Of `images`, `count` in the pair of labels a and b; `expected` by coincidence; `p`, corrected
    (Bonferroni) for all ordered pairs."""

    a: int
    b: int
    images: int
    count: int
    expected: float
    p: float

    @property
    def stands_out(self) -> bool:
        return self.p < SIGNIFICANT and self.count >= MORE * self.expected


def called_instead(found: LabelEvidence) -> list[LabelPair]:
    """Pairs of which label a is missed and b called in error, the surest first. Of the images that have a and
    not b: whether b is called more often where a is missed, by Fisher's exact test, one-sided."""
    truth, called, known = found.scores.truth, found.counts.called, set(found.decided)
    tests, pairs = len(known) * (len(known) - 1), []
    for a, b in np.argwhere(found.counts.called_instead >= PAIR).tolist():
        if not {a, b} <= known:
            continue
        able = truth[:, a] & ~truth[:, b]
        missed, alarms = able & ~called[:, a], able & called[:, b]
        n, m, k, count = (int(v.sum()) for v in (able, missed, alarms, missed & alarms))
        p = float(more_errors(np.array(count), np.array(m), k, n))
        pairs.append(LabelPair(a, b, n, count, m * k / n, min(1.0, p * tests)))
    return sorted(pairs, key=lambda x: (x.p, -x.count))


def confused_labels(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels that are called instead of others more often than by coincidence; at most `MOST` pairs."""
    truth, called = found.scores.truth, found.counts.called
    chosen = [x for x in called_instead(found) if x.stands_out and {x.a, x.b} & {*labels}]
    for x in chosen[:MOST]:
        rows = np.flatnonzero(truth[:, x.a] & ~called[:, x.a] & called[:, x.b] & ~truth[:, x.b])
        first, second = found.classes[x.a], found.classes[x.b]
        yield Proposal(
            "pair",
            f"{second} is often called instead of {first}.",
            f"{counted(x.images, 'image')} {plural(x.images, 'has', 'have')} {first} and not {second}; in "
            f"{x.count:,} of them {first} is missed and {second} is called ({x.expected:.1f} if these errors "
            f"were independent, {chance(x.p)}).",
            f"Check their labels; collect images of {first} without {second}.",
            "",
            found.rows[rows[np.argsort(-found.scores.prob[rows, x.b], kind="stable")]],
            x.count,
            x.a,
        )


def together(found: LabelEvidence) -> list[LabelPair]:
    """Pairs of which nearly all images of label a have b, too, the most images first: Fisher's exact test of
    their independence, one-sided. Of two labels that need each other, only one pair."""
    both, count = found.scores.together, found.scores.positives
    n, tests, pairs = found.scores.images, len(count) * (len(count) - 1), dict[frozenset[int], LabelPair]()
    for a, b in np.argwhere(both >= TOGETHER * count[:, None]).tolist():
        if a == b or count[a] < FEWEST:
            continue
        p = float(stats.hypergeom.sf(both[a, b] - 1, n, count[b], count[a]))
        expected = float(count[a] * count[b] / n)
        pair = LabelPair(a, b, int(count[a]), int(both[a, b]), expected, min(1.0, p * tests))
        if pair.stands_out:
            pairs.setdefault(frozenset((a, b)), pair)
    return sorted(pairs.values(), key=lambda x: -x.count)


def labels_together(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels that are almost always with another one: what a network learned of one, it may have learned of
    the other; at most `MOST` pairs."""
    for x in [x for x in together(found) if {x.a, x.b} & {*labels}][:MOST]:
        rows = np.flatnonzero(found.scores.truth[:, x.a])
        first, second = found.classes[x.a], found.classes[x.b]
        yield Proposal(
            "together",
            f"{first} is almost always with {second}.",
            f"{x.count:,} of its {counted(x.images, 'image')} {plural(x.count, 'has', 'have')} {second}, too "
            f"({x.expected:.1f} if they were independent, {chance(x.p)}). {_with_and_without(found, x)}",
            f"Collect images of {first} without {second}: the network may tell one by the other.",
            "",
            found.rows[rows[np.argsort(found.scores.truth[rows, x.b], kind="stable")]],
            int(found.counts.fn[x.a]),
            x.a,
        )


def _with_and_without(found: LabelEvidence, x: LabelPair) -> str:
    """How often label a is found, and called in error, with b and without it."""
    called, has, other = found.counts.called[:, x.a], found.scores.truth[:, x.a], found.scores.truth[:, x.b]

    def of(which: np.ndarray) -> str:
        return percent(float(called[which].mean())) if which.any() else "none"

    first, second = found.classes[x.a], found.classes[x.b]
    alone = int((has & ~other).sum())
    return (
        f"{first} is found in {of(has & other)} of its images with {second} and {of(has & ~other)} of "
        f"{alone:,} without; of images that lack it, it is called in {of(~has & other)} with {second} and "
        f"{of(~has & ~other)} without."
    )
