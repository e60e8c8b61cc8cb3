"""Tests of differences and their corrections, many at once. Every one is tested against SciPy or
statsmodels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values that control the probability of any false alarm (S. Holm, 1979); NaN stays and does
    not count."""
    return _of_finite(
        p,
        lambda v: np.minimum(1, np.maximum.accumulate(np.sort(v) * np.arange(len(v), 0, -1)))[
            np.argsort(np.argsort(v))
        ],
    )


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values that control the fraction of false findings (Y. Benjamini, Y. Hochberg, 1995); NaN
    stays and does not count."""
    return _of_finite(p, stats.false_discovery_control)


def _of_finite(p: np.ndarray, adjust) -> np.ndarray:  # type: ignore[no-untyped-def]
    values = np.asarray(p, float)
    adjusted, known = np.full(values.shape, np.nan), np.isfinite(values)
    if known.any():
        adjusted[known] = adjust(values[known])
    return adjusted


@dataclass(frozen=True)
class Difference:
    """How much larger `a` is than `b`: Cliff's delta in [-1, 1] (N. Cliff, 1993: fraction of pairs where a
    is larger minus fraction where it is smaller), p of the two-sided Mann-Whitney test, means and sizes."""

    delta: float
    p: float
    mean_a: float
    mean_b: float
    n_a: int
    n_b: int


def difference(a: np.ndarray, b: np.ndarray, fewest: int = 5) -> Difference:
    """NaN is left out; delta and p are NaN where a group has less than `fewest`."""
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    means = float(a.mean()) if len(a) else float("nan"), float(b.mean()) if len(b) else float("nan")
    if min(len(a), len(b)) < fewest:
        return Difference(float("nan"), float("nan"), *means, len(a), len(b))
    u, p = mann_whitney(a, b)
    return Difference(2 * u / (len(a) * len(b)) - 1, p, *means, len(a), len(b))


EXACT = 8
"""Values in the smaller group up to which SciPy's test is exact, where no two are equal."""


def mann_whitney(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """U of `a` and the two-sided p of the test of H. B. Mann, D. R. Whitney (1947) of finite values (n,) and
    (m,), not empty. As `scipy.stats.mannwhitneyu`, in a fraction of its time."""
    both = np.concatenate([a, b])
    _, place, count = np.unique(both, return_inverse=True, return_counts=True)
    if min(len(a), len(b)) <= EXACT and len(count) == len(both):
        found = stats.mannwhitneyu(a, b)
        return float(found.statistic), float(found.pvalue)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    n, pairs = len(both), len(a) * len(b)
    u = float(ranks[: len(a)].sum()) - len(a) * (len(a) + 1) / 2
    ties = float((count.astype(float) ** 3 - count).sum()) / (n * (n - 1))
    spread = float(np.sqrt(pairs / 12 * (n + 1 - ties)))
    if spread == 0:  # all are equal
        return u, 1.0
    return u, min(1.0, 2 * float(special.ndtr(-(max(u, pairs - u) - pairs / 2 - 0.5) / spread)))


FEW = 13
"""Values up to which SciPy makes `signed_rank` exact also where some are equal or zero."""


def signed_rank(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (F. Wilcoxon, 1945) of finite differences (n,); 1 where all
    are zero. As `scipy.stats.wilcoxon`, which for few differences with equal or zero ones compares with all
    2 ** n signs one by one: here their sums of ranks are counted, in a hundredth of the time."""
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    ranks = np.rint(2 * stats.rankdata(np.abs(nonzero))).astype(int)  # doubled: those of equal ones end in .5
    if len(differences) > FEW or (len(nonzero) == len(differences) and len(set(ranks)) == len(ranks)):
        return float(stats.wilcoxon(differences).pvalue)
    count = np.ones(1)  # of the choices of signs, by the sum of the ranks of positive ones
    for rank in ranks:
        count = np.pad(count, (0, rank)) + np.pad(count, (rank, 0))
    found = ranks[nonzero > 0].sum()
    tail = min(count[: found + 1].sum(), count[found:].sum())
    return float(min(1, 2 * tail / 2.0 ** len(ranks)))


def rank_difference(differences: np.ndarray) -> float:
    """The matched-pairs rank-biserial correlation of finite differences (n,), in [-1, 1]: of the ranks of
    their sizes, the sum of the positive ones minus that of the negative ones, over both (D. S. Kerby, *The
    simple difference formula*, 2014); 0 where all are zero. Its sign is where `signed_rank` points."""
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 0.0
    ranks = stats.rankdata(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())


def each_against_the_rest(
    values: np.ndarray, group: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cliff's delta (groups,) of every group against all others, and the p of the Mann-Whitney test (normal
    approximation with ties). `values`, `group` (n,); NaN values are left out. NaN for a group that is empty
    or all there is."""
    known = np.isfinite(values)
    values, group = values[known], group[known]
    n = len(values)
    count = np.bincount(group, minlength=groups).astype(float)
    other = n - count
    ranks = np.bincount(group, stats.rankdata(values), minlength=groups)
    _, ties = np.unique(values, return_counts=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ranks - count * (count + 1) / 2
        delta = 2 * u / (count * other) - 1
        spread = np.sqrt(
            count * other / 12 * (n + 1 - (ties.astype(float) ** 3 - ties).sum() / (n * (n - 1)))
        )
        z = np.clip(np.abs(u - count * other / 2) - 0.5, 0, None) / spread
    return delta, np.where(np.isfinite(z), 2 * stats.norm.sf(z), np.nan)


def larger(values: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """p (k,) that the values (n,) of each group, (n,) bool, are larger than the others: one-sided
    Mann-Whitney test, normal approximation with ties and continuity correction. NaN for a group that is empty
    or all there is, and where all values are equal."""
    n, ranks = len(values), stats.rankdata(values)
    _, ties = np.unique(values, return_counts=True)
    tied = float((ties.astype(float) ** 3 - ties).sum()) / max(n * (n - 1), 1)
    count = np.array([chosen.sum() for chosen in groups], float)
    u = np.array([ranks[chosen].sum() for chosen in groups]) - count * (count + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(count * (n - count) / 12 * (n + 1 - tied))
        z = (u - count * (n - count) / 2 - 0.5) / spread
    return np.where(spread > 0, stats.norm.sf(z), np.nan)


def more_errors(
    wrong: np.ndarray, n: np.ndarray, all_wrong: int | np.ndarray, total: int | np.ndarray
) -> np.ndarray:
    """p that groups of `n` images have `wrong` errors or more where `total` images have `all_wrong`: Fisher's
    exact test, one-sided."""
    return np.asarray(stats.hypergeom.sf(np.asarray(wrong) - 1, total, all_wrong, np.asarray(n)))


@dataclass(frozen=True)
class Within:
    """`expected`: errors that the inside would have if each stratum's errors were spread evenly over it. `p`:
    one-sided."""

    expected: float
    p: float


def within_strata(wrong: np.ndarray, inside: np.ndarray, strata: np.ndarray) -> Within:
    """More errors inside than outside, within each stratum: N. Mantel, W. Haenszel, 1959
    (Cochran-Mantel-Haenszel, without continuity correction). `wrong`, `inside` (n,) bool, `strata` (n,) of
    whole numbers: a difference between strata counts nothing."""
    size = np.bincount(strata).astype(float)
    errors, chosen = (np.bincount(strata, flag, len(size)) for flag in (wrong, inside))
    both = np.bincount(strata, wrong & inside, len(size))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(size > 0, errors * chosen / size, 0)
        variance = np.where(size > 1, expected * (size - errors) * (size - chosen) / (size * (size - 1)), 0)
    spread = float(np.sqrt(variance.sum()))
    z = float((both - expected).sum()) / spread if spread > 0 else 0.0
    return Within(float(expected.sum()), float(stats.norm.sf(z)) if spread > 0 else 1.0)
