"""Checks of the network: classes recognized by their border, errors at the border, confused pairs and where
their maps agree, over-confidence."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from explain.analysis.map_places import NINTHS, fractions, ninths
from explain.analysis.on_maps import may_say
from explain.analysis.proposals.data_checks import SIGNIFICANT
from explain.analysis.proposals.evidence import Evidence
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.statistics.significance import each_against_the_rest, holm, more_errors, within_strata
from explain.formatting import chance, percent
from explain.run.format import TARGETS, area_column, map_column
from explain.run.map_stats import UNIFORM_BORDER_MASS, mass_in
from explain.run.reader import RunData

AT_BORDER = 0.5  # of a map's mass; more than an even map has there
FEWEST, PAIR = 5, 8  # images; images of a confused pair


def _border(evidence: Evidence) -> np.ndarray:
    return evidence.run.ok[f"{map_column(evidence.method, 'pred')}.border_mass"].to_numpy(float)


def recognized_by_border(evidence: Evidence) -> Iterator[Proposal]:
    """Classes whose right answers rest on the outer eighth, where those of other classes do not."""
    run, mass, right = evidence.run, _border(evidence), evidence.run.ok["correct"].to_numpy()
    label = run.ok["label"].to_numpy()
    delta, p = each_against_the_rest(np.where(right, mass, np.nan), label, len(run.classes))
    p = holm(p)
    for i in np.flatnonzero((delta >= 0.6) & (p < SIGNIFICANT)):
        mine, others = mass[right & (label == i)] > AT_BORDER, mass[right & (label != i)] > AT_BORDER
        if len(mine) >= FEWEST and mine.mean() >= 0.5 and others.mean() <= mine.mean() / 2:
            rows = run.ok.index[right & (label == i) & (mass > AT_BORDER)].to_numpy()
            yield Proposal(
                "border class",
                f"{run.classes[i]} may be recognized by its border.",
                f"{percent(mine.mean())} of its {len(mine)} right answers rest on the outer eighth of the "
                f"picture, {percent(others.mean())} of the other classes' ({chance(p[i])}; an even map has "
                f"{percent(UNIFORM_BORDER_MASS)} of its mass there). Check for watermarks.",
                "Crop it away, or move it about.",
                "--augment zoom=0.3,shift=0.2",
                rows,
                0,
            )


def errors_at_the_border(evidence: Evidence) -> Iterator[Proposal]:
    """Maps of wrong predictions lie at the border more often than those of right ones, within each class
    too. Of a label: maps of false alarms, more often than those of hits; no other images have one."""
    mass, of_label = _border(evidence), evidence.run.label_sets is not None
    ok = evidence.run.ok[np.isfinite(mass) | (not of_label)]
    at_border, wrong = mass[np.isfinite(mass) | (not of_label)] > AT_BORDER, ~ok["correct"].to_numpy()
    both = int((wrong & at_border).sum())
    if both < FEWEST:
        return
    p = float(more_errors(np.array(both), np.array(at_border.sum()), int(wrong.sum()), len(wrong)))
    # false alarms and hits of a label are of different classes: there is nothing to be told apart within one
    within = 0.0 if of_label else within_strata(wrong, at_border, ok["label"].to_numpy()).p
    of_wrong, of_right = (
        float(at_border[wrong].mean()),
        float(at_border[~wrong].mean()) if (~wrong).any() else 0.0,
    )
    if max(p, within) < SIGNIFICANT and of_wrong - of_right >= 0.05:
        picked = ok[wrong & at_border].sort_values("confidence", ascending=False)
        sides = ("false alarms", "hits that have a map") if of_label else ("wrong answers", "right ones")
        yield Proposal(
            "border",
            "Errors look at the border.",
            f"{percent(of_wrong)} of the {sides[0]} have most of their map in the outer eighth, "
            f"{percent(of_right)} of the {sides[1]} ({chance(max(p, within))}).",
            "Crop closer, or move the object about in training.",
            "--augment zoom=0.3,shift=0.2",
            picked.index.to_numpy(),
            both,
        )


@dataclass(frozen=True)
class Pair:
    """`count` images of `label` were predicted as `pred`; `expected` if its errors went where those of all
    other classes go."""

    label: int
    pred: int
    count: int
    expected: float
    p: float


def confused_pairs(run: RunData) -> list[Pair]:
    """Confusions that stand out, the surest first: binomial against where the other classes' errors go,
    corrected (Holm) for all pairs."""
    wrong = run.evaluation.confusion - np.diag(np.diag(run.evaluation.confusion))
    errors, found = wrong.sum(1), []
    if len(run.present) < 3:
        return []
    taken = wrong.sum(0) + 1.0  # add-one: a class that was never predicted proves nothing
    for i, j in zip(*np.nonzero(wrong >= PAIR), strict=True):
        weights = taken - wrong[i]
        weights[i] = 0
        fraction = weights[j] / weights[np.union1d(run.present, [j])].sum()
        found.append(
            Pair(
                int(i),
                int(j),
                int(wrong[i, j]),
                float(errors[i] * fraction),
                float(stats.binom.sf(wrong[i, j] - 1, errors[i], fraction)),
            )
        )
    tests = int(((errors > 0).sum()) * (len(run.present) - 1))
    return sorted(
        (Pair(x.label, x.pred, x.count, x.expected, min(1.0, x.p * tests)) for x in found),
        key=lambda x: (x.p, -x.count),
    )


def confused_classes(evidence: Evidence) -> Iterator[Proposal]:
    """At most three confused pairs, each with the other way round."""
    run, text = evidence.run, set[frozenset[int]]()
    for x in confused_pairs(run):
        support = int(run.evaluation.support[x.label])
        if (
            x.p >= SIGNIFICANT
            or x.count < 0.05 * support
            or x.count < 1.5 * x.expected
            or frozenset((x.label, x.pred)) in text
        ):
            continue
        text.add(frozenset((x.label, x.pred)))
        a, b = run.classes[x.label], run.classes[x.pred]
        back = int(run.evaluation.confusion[x.pred, x.label])
        rows = _pair_rows(run, x.label, x.pred)
        agree = agreement(evidence, rows) if may_say(evidence) else NOT_COMPARED
        yield Proposal(
            "pair",
            f"{a} is often predicted as {b}.",
            f"{x.count} of {support} ({x.expected:.0f} if its errors went where others' go, {chance(x.p)}); "
            f"{back} the other way. {agree.words}".strip(),
            agree.advice,
            agree.option,
            rows,
            x.count + back,
            on_maps=bool(np.isfinite(agree.overlap)),
        )
        if len(text) == 3:
            return


def _pair_rows(run: RunData, a: int, b: int) -> np.ndarray:
    ok = run.ok
    chosen = ok[((ok["label"] == a) & (ok["pred"] == b)) | ((ok["label"] == b) & (ok["pred"] == a))]
    return (
        chosen.assign(back=chosen["label"] == b)
        .sort_values(["back", "confidence"], ascending=[True, False])
        .index.to_numpy()
    )


@dataclass(frozen=True)
class Agreement:
    """Mean `overlap` of the maps for the predicted and the true class, and between maps of different images
    (`control`)."""

    overlap: float
    control: float
    words: str
    advice: str
    option: str


_REGULARIZE = "Regularize the decision boundary between the two.", "--mixup 0.2"
NOT_COMPARED = Agreement(np.nan, np.nan, "", *_REGULARIZE)


def agreement(evidence: Evidence, rows: np.ndarray, most: int = 500) -> Agreement:
    """Histogram intersection of the two maps of every image, each scaled to sum 1; the control pairs an
    image's map with the next one's."""
    run, rows = evidence.run, rows[:most]
    pred, label = (
        fractions(run.maps(evidence.method, target, rows.tolist())) for target in ("pred", "label")
    )
    known = np.isfinite(pred).all((1, 2)) & np.isfinite(label).all((1, 2))
    pred, label, rows = pred[known], label[known], rows[known]
    if len(rows) < FEWEST:
        return Agreement(
            np.nan,
            np.nan,
            "Too few of their maps can be compared.",
            *_REGULARIZE,
        )
    both = np.minimum(pred, label)
    overlap, control = (
        float(both.sum((1, 2)).mean()),
        float(np.minimum(pred, np.roll(label, 1, 0)).sum((1, 2)).mean()),
    )
    numbers = f"overlap {overlap:.2f}, {control:.2f} between different images"
    if overlap > control + 0.02 and overlap >= 0.5:
        return Agreement(
            overlap,
            control,
            f"Both maps favor {place(evidence, rows, both)} ({numbers}).",
            "Hide parts in training, so that other regions must distinguish them.",
            "--augment erase=0.5",
        )
    return Agreement(
        overlap,
        control,
        f"Their two maps agree no more than those of other images ({numbers}).",
        *_REGULARIZE,
    )


def place(evidence: Evidence, rows: np.ndarray, maps: np.ndarray) -> str:
    """Where maps (n, h, w) lie: the region that they favor most, or the part of the picture."""
    run, method, regions = evidence.run, evidence.method, evidence.run.manifest.request.regions
    if regions:
        picked = run.ok.loc[rows]
        mass = {
            r: float(picked[[f"{map_column(method, t)}.{mass_in(r)}" for t in TARGETS]].mean(axis=None))
            for r in regions
        }
        area = {r: max(float(picked[area_column(r)].mean()), 1e-9) for r in regions}
        favored = max(regions, key=lambda r: mass[r] / area[r])
        mass_of, area_of = percent(mass[favored]), percent(area[favored])
        return f"the {favored}, {mass_of} of their mass on {area_of} of the picture"
    mean = maps.mean(0) / max(float(maps.mean(0).sum()), 1e-12)
    parts = ninths(mean[None])[0]
    best = int(parts.argmax())
    return f"the {NINTHS[best]}, {percent(float(parts[best]))} of their mass on a ninth of the picture"


def over_confident(evidence: Evidence) -> Iterator[Proposal]:
    """The likeliest temperature is above 1, flipped labels taken into account."""
    run, fit, e = evidence.run, evidence.fit, evidence.run.evaluation
    if fit.temperature >= 1.1 and fit.p_temperature < SIGNIFICANT and e.overconfidence >= 0.02:
        sure_errors = run.ok[~run.ok["correct"]].sort_values("confidence", ascending=False)
        confidence = float(run.ok["confidence"].mean())
        yield Proposal(
            "confidence",
            "It is too sure of itself.",
            f"Mean confidence {percent(confidence)}, accuracy {percent(e.accuracy)}; calibration error "
            f"{e.calibration_error:.2f}. Logits "
            f"divided by {fit.temperature:.2f} would be right ({chance(fit.p_temperature)}).",
            "Calibrate by that temperature, or train on softer targets.",
            "--label-smoothing 0.1 --mixup 0.2",
            sure_errors.index.to_numpy(),
            int((sure_errors["confidence"] > 0.9).sum()),
        )
