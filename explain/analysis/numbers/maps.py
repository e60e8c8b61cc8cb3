"""A check of where the maps of an output of numbers lie: at the border for the worst errors."""

from collections.abc import Iterator

import numpy as np

from explain.analysis.numbers.checks import NumberEvidence
from explain.analysis.proposals.data_checks import SIGNIFICANT
from explain.analysis.proposals.model_checks import AT_BORDER, FEWEST
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.statistics.significance import more_errors, within_strata
from explain.formatting import chance, percent
from explain.run.format import MOST_OUTPUTS

WORST = 0.2  # fraction of the images whose errors are compared with the rest
LEAST_MORE = 0.05  # of the images, by which maps at the border are more frequent among the worst


def worst_at_the_border(found: NumberEvidence) -> Iterator[Proposal]:
    """Maps of the worst errors lie at the border more often than those of the other images, among images of
    similar true numbers too. Not where a run keeps the maps of some outputs of an image only: these are
    chosen by their error."""
    run, plane = found.run, found.plane
    if len(run.outputs) > MOST_OUTPUTS or "border_mass" not in run.manifest.request.statistics:
        return
    mass, method = found.border_mass[found.method].astype(float), found.method
    known, limit = np.isfinite(mass), np.quantile(found.distance, 1 - WORST)
    at_border, worst = mass[known] > AT_BORDER, found.distance[known] >= limit
    both = int((at_border & worst).sum())
    if both < FEWEST or worst.all():
        return
    p = float(more_errors(np.array(both), np.array(at_border.sum()), int(worst.sum()), len(worst)))
    p = max(p, within_strata(worst, at_border, found.bin_of[known]).p)
    of_worst, of_rest = float(at_border[worst].mean()), float(at_border[~worst].mean())
    if not p < SIGNIFICANT or of_worst - of_rest < LEAST_MORE:
        return
    rows = np.flatnonzero(known)[at_border & worst]
    yield Proposal(
        "border",
        "The worst errors look at the border.",
        f"{percent(of_worst)} of the fifth of the images with the largest errors have most of their positive "
        f"evidence in the outer eighth ({run.title(method)}), {percent(of_rest)} of the others "
        f"({chance(p)}, also among images of similar true numbers).",
        "Crop closer, or move the object about in training, unless the number is its position.",
        "--augment zoom=0.3,shift=0.2",
        plane.rows[rows[np.argsort(-found.distance[rows], kind="stable")]],
        both,
    )
