"""What a review says: how many labels are wrong, with an interval, and how far reviewers agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from explain.analysis.label_errors.review_sample import Sample
from explain.analysis.statistics.intervals import Z
from explain.run.people.review import Answer, by_image, verdict

NEEDED = 40
"""Answers from which an estimate is given."""
IN_EACH = 4
"""And answers of the sample in each stratum, or all of it."""


@dataclass(frozen=True)
class Stratum:
    """`size` images, of which `drawn` are in the sample; `decided` of these were given a class, and of those
    `wrong` another one than the label."""

    size: int
    drawn: int
    decided: int
    wrong: int


@dataclass(frozen=True)
class Estimate:
    """`fraction` of wrong labels, its `variance`, and the interval of 95 % from `low` to `high`."""

    fraction: float
    variance: float
    low: float
    high: float


def estimated(strata: Sequence[Stratum]) -> Estimate:
    """The fraction of wrong labels by D. Horvitz and D. Thompson, *A generalization of sampling without
    replacement from a finite universe*, 1952: each image of the sample counts 1 / its probability to be in
    it, which is decided / size in a stratum (W. Cochran, *Sampling techniques*, 1977, chapter 5: sum W p with
    the variance sum W² (1 - f) p (1 - p) / (n - 1)). Images without a decision are taken as the others of
    their stratum.

    The interval is Wilson's with the effective sample size p (1 - p) / variance (E. Korn, B. Graubard, 1998;
    N. Dean, M. Pagano, 2015), whose variance has (wrong + 1) / (decided + 2) for the fraction of each
    stratum: a stratum without a wrong label in its sample may have some.

    Raises ValueError where a stratum has no decided image.
    """
    size, n, wrong = (np.array([getattr(s, k) for s in strata], float) for k in ("size", "decided", "wrong"))
    if not len(size) or (n < 1).any():
        raise ValueError("a stratum without answers")
    weight, p, left = size / size.sum(), wrong / n, 1 - n / size
    fraction = float((weight * p).sum())
    variance = float((weight**2 * left * p * (1 - p) / np.maximum(n - 1, 1)).sum())
    likely = (wrong + 1) / (n + 2)
    spread = float((weight**2 * left * likely * (1 - likely) / n).sum())
    center = float((weight * likely).sum())
    if spread <= 0:  # every image is decided
        return Estimate(fraction, variance, fraction, fraction)
    effective = center * (1 - center) / spread
    middle = (fraction + Z**2 / (2 * effective)) / (1 + Z**2 / effective)
    half = Z * np.sqrt(fraction * (1 - fraction) / effective + Z**2 / (4 * effective**2))
    half /= 1 + Z**2 / effective
    return Estimate(fraction, variance, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def strata_of(
    sample: Sample, rows: Mapping[str, int], answers: Mapping[tuple[str, str], Answer]
) -> list[Stratum]:
    """What all reviewers together answered of the sample; of several answers on an image, `verdict`."""
    verdicts = {rows[name]: verdict(given) for name, given in by_image(answers).items() if name in rows}
    found = []
    for order, drawn in zip(sample.orders, sample.drawn(verdicts.keys() | set()), strict=True):
        known = [v for row in order[:drawn] if (v := verdicts[int(row)]) is not None]
        found.append(Stratum(len(order), drawn, len(known), sum(known)))
    return found


def missing(strata: Sequence[Stratum], decided: int) -> int:
    """Answers that are missing until an estimate is given: of `NEEDED` images with a decision (`decided` of
    them are known), and of `IN_EACH` of each stratum's sample; of fewer images, a decision on every one that
    was not answered otherwise."""
    left = [s.size - (s.drawn - s.decided) for s in strata]  # decisions that there are, or may come
    short = sum(max(0, max(1, min(IN_EACH, most)) - s.decided) for s, most in zip(strata, left, strict=True))
    return max(min(NEEDED, sum(left)) - decided, short)


@dataclass(frozen=True)
class Agreement:
    """Of two reviewers: `images` to which both gave a class, `same` of them the same one, and Cohen's `kappa`
    (J. Cohen, 1960); NaN where both gave one class alone."""

    first: str
    second: str
    images: int
    same: int
    kappa: float


def agreements(answers: Mapping[tuple[str, str], Answer]) -> list[Agreement]:
    """Of each two reviewers who have images in common."""
    given: dict[str, dict[str, str]] = {}
    for (name, image), one in answers.items():
        if one.decided:
            given.setdefault(name, {})[image] = one.says
    found = []
    for a, b in combinations(sorted(given), 2):
        both = sorted(given[a].keys() & given[b].keys())
        if both:
            pairs = [(given[a][image], given[b][image]) for image in both]
            found.append(Agreement(a, b, len(both), sum(x == y for x, y in pairs), kappa(pairs)))
    return found


def kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Cohen's kappa of pairs of classes; NaN where chance agrees always."""
    names = sorted({name for pair in pairs for name in pair})
    first, second = (np.array([names.index(pair[k]) for pair in pairs]) for k in (0, 1))
    by_chance = (
        float((np.bincount(first, minlength=len(names)) * np.bincount(second, minlength=len(names))).sum())
        / len(pairs) ** 2
    )
    return (float((first == second).mean()) - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")
