"""Checks of where the maps of labels lie: at the border, or outside of the region of the same name."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from explain.analysis.multi_label.evidence import LabelEvidence
from explain.analysis.proposals.data_checks import SIGNIFICANT
from explain.analysis.proposals.model_checks import AT_BORDER, FEWEST
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.statistics.significance import each_against_the_rest, holm
from explain.formatting import chance, percent
from explain.run.format import area_column
from explain.run.map_stats import UNIFORM_BORDER_MASS, mass_in


def labels_at_the_border(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Labels whose hits rest on the outer eighth, where those of other labels do not."""
    row, label, mass = found.maps_of_hits("border_mass")
    delta, p = each_against_the_rest(mass, label, len(found.classes))
    p = holm(p)
    known = np.isfinite(mass)
    for k in labels:
        if k not in found.decided or not (delta[k] >= 0.6 and p[k] < SIGNIFICANT):
            continue
        mine, others = (mass[known & which] > AT_BORDER for which in (label == k, label != k))
        if len(mine) < FEWEST or mine.mean() < 0.5 or others.mean() > mine.mean() / 2:
            continue
        name = found.classes[k]
        yield Proposal(
            "border class",
            f"{name} may be recognized by the border.",
            f"{percent(mine.mean())} of the maps of its {len(mine):,} hits (those that have one) rest on the "
            f"outer eighth, {percent(others.mean())} of those of other labels ({chance(p[k])}; an "
            f"even map has {percent(UNIFORM_BORDER_MASS)} of its mass there). Check for watermarks.",
            "Crop it away, or move it about.",
            "--augment zoom=0.3,shift=0.2",
            row[known & (label == k) & (mass > AT_BORDER)],
            0,
            k,
        )


def labels_outside_their_region(found: LabelEvidence, labels: Sequence[int]) -> Iterator[Proposal]:
    """Of labels that have the name of a region of the data: the maps of their hits have less of their mass in
    it than its area, so an even map would do better. Wilcoxon's signed-rank test, one-sided, Holm."""
    regions = [r for r in found.run.manifest.request.regions if r in found.classes]
    tested = {found.classes.index(r): _inside(found, r) for r in regions}
    tested = {k: x for k, x in tested.items() if len(x[0]) >= FEWEST and k in found.decided}
    p = [float(stats.wilcoxon(mass - area, alternative="less").pvalue) for _, mass, area in tested.values()]
    for (k, (row, mass, area)), adjusted in zip(tested.items(), holm(np.array(p)), strict=True):
        if k not in labels or not adjusted < SIGNIFICANT:
            continue
        name = found.classes[k]
        yield Proposal(
            "region",
            f"The maps of {name} lie outside of it.",
            f"{percent(float(mass.mean()))} of the mass of the maps of its {len(mass):,} hits (those that "
            f"have one) is on {name}, which covers {percent(float(area.mean()))} of the picture "
            f"({chance(adjusted)}).",
            "Look what it is recognized by; hide that in training.",
            "--augment erase=0.5",
            row[np.argsort(mass - area, kind="stable")],
            0,
            k,
        )


def _inside(found: LabelEvidence, region: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, mass in the region and its area, of the hits of the label of that name whose picture shows it."""
    row, label, mass = found.maps_of_hits(mass_in(region))
    area = found.sets.table[area_column(region)].to_numpy(float)[row]
    known = (label == found.classes.index(region)) & np.isfinite(mass) & (area > 0)
    return row[known], mass[known], area[known]
