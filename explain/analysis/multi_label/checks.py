"""Checks of a run of several labels per image. Each is a function (evidence of all labels, the labels that
are asked about) -> proposals; tests are corrected for all labels, whichever are asked about."""

from collections.abc import Iterator, Sequence

import numpy as np

from explain.analysis.binary.held_out import BetterThreshold, better_threshold
from explain.analysis.multi_label.evidence import LabelEvidence
from explain.analysis.proposals.data_checks import (
    FEW,
    LEAST_FLIPPED,
    SIGNIFICANT,
    SURE_OF_FLIPS,
    training_counts,
)
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.statistics.significance import holm
from explain.formatting import be, chance, counted, decimal, listed, plural
from explain.run.format import CALLED

LEAST_GAIN = 0.02  # of F1, on images that a threshold was not chosen on
MOST = 3  # proposals of one check


def wrong_label_sets(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels whose answers contradict the network more often than its own doubts explain
    (`confident_learning.fit`), and the images whose labels fit worst."""
    fits = found.fits
    p = dict(zip(fits, holm(np.array([fit.p_flipped for fit in fits.values()])), strict=True))
    wrong = [k for k in labels if k in fits and fits[k].flipped >= LEAST_FLIPPED and p[k] <= SURE_OF_FLIPS]
    if not wrong:
        return
    n, suspect, truth = len(found.rows), found.suspect, found.scores.truth
    about = {k: round(fits[k].flipped * n) for k in wrong}
    wrong.sort(key=lambda k: -about[k])
    each = [
        f"{found.classes[k]} about {about[k]:,} of {n:,} ({chance(p[k])}; suspect are "
        f"{counted(lack, 'image')} that lack it and {have:,} that have it)"
        for k in wrong
        for lack, have in [np.bincount(truth[suspect[:, k], k].astype(int), minlength=2).tolist()]
    ]
    rows = found.suspect_rows(wrong)
    yield Proposal(
        "labels",
        f"About {counted(sum(about.values()), 'label')} {plural(sum(about.values()), 'looks', 'look')} wrong "
        f"({listed([found.classes[k] for k in wrong])}).",
        f"They contradict the network where its own doubts would not: {listed(each)}. "
        f"{counted(len(rows), 'image')} {be(len(rows))} suspect, those whose labels fit worst come first.",
        "Give the right labels in their notes, and train or measure on the corrected list.",
        "--labels labels.csv",
        rows,
        sum(about.values()),
        wrong[0],
    )


def few_positives(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels of less than a third of the images of the median label: in training where the checkpoint names
    them, otherwise in this run."""
    trained = training_counts(found.run)
    counts = trained or dict(enumerate(found.scores.positives.tolist()))
    median = float(np.median(list(counts.values()))) if len(counts) > 2 else 0.0
    few = sorted((k for k in labels if counts.get(k, median) < FEW * median), key=lambda k: counts[k])
    if not few:
        return
    names = listed([f"{found.classes[k]} {counts[k]:,}" for k in few])
    title = f"{found.classes[few[0]]} has" if len(few) == 1 else f"{len(few)} labels have"
    errors = (found.counts.fp + found.counts.fn)[few]
    yield Proposal(
        "few images",
        f"{title} too few training images.",
        f"Images {'to train on' if trained else 'here'}: {names}; {median:,.0f} with the median label. "
        f"Average precision: {listed([_precision(found, k) for k in few])}.",
        "Collect more images that have it; until then draw them more often, or weight them.",
        "--balance sampler",
        found.rows[found.scores.truth[:, few].any(1)],
        int(errors.sum()),
        few[0],
    )


def _precision(found: LabelEvidence, k: int) -> str:
    """'grey .31 (.12 to .55; .06 by chance)'."""
    value, (low, high) = found.scores.average_precision[k], found.scores.average_precision_interval[k]
    if np.isnan(value):
        return f"{found.classes[k]} is not defined"
    interval = f"{decimal(low)} to {decimal(high)}; " if low == low else ""
    by_chance = decimal(found.scores.positives[k] / found.scores.images)
    return f"{found.classes[k]} {decimal(value)} ({interval}{by_chance} by chance)"


def labels_at_chance(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels of which the network says nothing."""
    chosen = [k for k in labels if k in found.at_chance]
    if not chosen:
        return
    one = len(chosen) == 1
    yield Proposal(
        "chance",
        f"{f'{found.classes[chosen[0]]} is' if one else f'{len(chosen)} labels are'} not above chance.",
        "The interval of the average precision includes what guessing reaches: "
        f"{listed([_precision(found, k) for k in chosen])}. Nothing is concluded about "
        f"{'it' if one else 'them'}.",
        "Check that the labels are in the order of the outputs (--classes), and how many images training "
        "had.",
        "",
        found.rows[found.scores.truth[:, chosen].any(1)],
        int((found.counts.fp + found.counts.fn)[chosen].sum()),
        chosen[0],
    )


def better_thresholds(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels whose F1 gains by another threshold than 0.5, also on images that it was not chosen on; at most
    `MOST`, those that gain most."""
    made = {k: better_threshold(found.scores.of_class(k)) for k in found.decided}
    tested = {k: t for k, t in made.items() if t is not None}
    p = dict(zip(tested, holm(np.array([t.p for t in tested.values()])), strict=True))
    gains = [k for k in labels if k in tested and p[k] < SIGNIFICANT and tested[k].gain >= LEAST_GAIN]
    gains.sort(key=lambda k: -tested[k].gain)
    for number, k in enumerate(gains[:MOST], 1):
        more = len(gains) - MOST if number == MOST else 0
        others = f" So do {more} other labels, less." if more > 0 else ""
        yield _threshold(found, k, tested[k], p[k], others)


def _threshold(found: LabelEvidence, k: int, t: BetterThreshold, p: float, others: str) -> Proposal:
    truth, prob = found.scores.truth[:, k], found.scores.prob[:, k]
    changed = np.flatnonzero((prob >= t.threshold) != (prob >= CALLED))
    repaired = (prob >= CALLED)[changed] != truth[changed]
    order = np.lexsort((np.abs(prob[changed] - CALLED), ~repaired))
    low, high = t.interval
    return Proposal(
        "threshold",
        f"The best F1 of {found.classes[k]} is at the threshold {t.threshold:g}.",
        f"F1 {decimal(t.best)} instead of {decimal(t.at_half)} at 0.5, on the images that it was chosen on. "
        f"Chosen on one half of them, it gives {decimal(t.held_out)} on the other: {t.gain:+.2f} (95 % "
        f"interval {low:+.2f} to {high:+.2f}, {chance(p)}).{others}",
        "Set it for this label, and confirm it on other images.",
        "",
        found.rows[changed[order]],
        int(repaired.sum()),
        k,
    )
