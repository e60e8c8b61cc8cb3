"""Statistics against SciPy and statsmodels."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests

from explain.analysis.statistics.significance import (
    FEW,
    difference,
    each_against_the_rest,
    false_discovery,
    holm,
    mann_whitney,
    more_errors,
    rank_difference,
    signed_rank,
    within_strata,
)


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (false_discovery, "fdr_bh")])
def test_corrections(ours, theirs: str) -> None:  # type: ignore[no-untyped-def]
    p = np.random.default_rng(0).beta(0.4, 2, 60)
    np.testing.assert_allclose(ours(p), multipletests(p, method=theirs)[1], rtol=1e-12)
    gaps = np.insert(p, [0, 7], np.nan)
    np.testing.assert_allclose(ours(gaps)[np.isfinite(gaps)], ours(p))
    assert np.isnan(ours(gaps)[0])
    assert len(ours(np.zeros(0))) == 0
    np.testing.assert_allclose(
        ours(np.array([0.03, 0.03, 0.03])), multipletests([0.03] * 3, method=theirs)[1]
    )  # ties


def test_difference_is_cliffs_delta_by_counting() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(2, 12, 30).astype(float)
    found = difference(np.append(a, np.nan), b)
    pairs = np.sign(a[:, None] - b[None])
    assert found.delta == pytest.approx(pairs.mean())
    assert found.p == pytest.approx(stats.mannwhitneyu(a, b).pvalue)
    assert (found.n_a, found.mean_b) == (40, pytest.approx(b.mean()))
    assert np.isnan(difference(a[:4], b).p)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 5, 9, 12, 13, 14, 60])
def test_signed_rank_is_scipys_with_equal_and_zero_differences(n: int) -> None:
    rng = np.random.default_rng(n)
    distinct = rng.normal(0.3, 1, n)
    equal = rng.choice([-0.2, 0.1, 0.2, 0.3], n)
    zeros = np.where(np.arange(n) % 3 == 1, 0, distinct)
    cases = (zeros, distinct, equal, equal * (np.arange(n) % 4 > 0) + 0.1 * (n == 1), np.ones(n))
    for i, differences in enumerate(cases):
        if n <= FEW:
            assert signed_rank(differences) == pytest.approx(of_all_signs(differences), rel=1e-12)
        if i < 2 or not 9 < n <= FEW:  # with equal values SciPy takes a second for each case of 12 or 13
            assert signed_rank(differences) == pytest.approx(stats.wilcoxon(differences).pvalue, rel=1e-12)
    assert signed_rank(np.zeros(n)) == 1


def of_all_signs(differences: np.ndarray) -> float:
    """p by the sum of positive ranks for each choice of signs."""
    nonzero = differences[differences != 0]
    ranks, n = stats.rankdata(np.abs(nonzero)), len(nonzero)
    sums = (np.arange(2**n)[:, None] >> np.arange(n) & 1) @ ranks
    found = ranks[nonzero > 0].sum()
    return min(1, 2 * min((sums <= found).mean(), (sums >= found).mean()))


@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (1, 9), (5, 5), (8, 8), (30, 5), (8, 512), (8, 513), (9, 9), (40, 23)]
)
def test_mann_whitney_is_scipys_with_equal_values_and_without(n: int, m: int) -> None:
    rng = np.random.default_rng(n * m)
    for a, b in (
        (rng.normal(0.4, 1, n), rng.normal(0, 1, m)),
        (rng.integers(0, 4, n), rng.integers(1, 5, m)),
        (rng.integers(0, 90, n), rng.integers(5, 95, m)),
        (np.arange(n) + 0.0, np.arange(m) + 0.0),  # the same middle
        (np.append(np.arange(n - 1.0), 7.0), np.append(np.arange(50.0, 49.0 + m), 7.0)),
    ):
        expected = stats.mannwhitneyu(a, b)
        assert mann_whitney(a, b) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)
    assert mann_whitney(np.ones(n), np.ones(m)) == (n * m / 2, 1.0)


def test_every_group_against_the_rest() -> None:
    rng = np.random.default_rng(2)
    values, group = np.round(rng.normal(0, 1, 300), 1), rng.integers(0, 4, 300)
    values[group == 2] += 0.5
    values[5] = np.nan
    delta, p = each_against_the_rest(values, group, 6)
    known = np.isfinite(values)
    for g in range(4):
        a, b = values[known & (group == g)], values[known & (group != g)]
        theirs = stats.mannwhitneyu(a, b, method="asymptotic")
        assert delta[g] == pytest.approx(2 * theirs.statistic / (len(a) * len(b)) - 1)
        assert p[g] == pytest.approx(theirs.pvalue)
    assert np.isnan(delta[4:]).all()
    assert np.isnan(p[4:]).all()


def test_more_errors_is_fishers_exact_test() -> None:
    for wrong, n, all_wrong, total in ((7, 20, 30, 200), (0, 5, 10, 50), (12, 12, 15, 60)):
        table = [[wrong, n - wrong], [all_wrong - wrong, total - n - all_wrong + wrong]]
        expected = stats.fisher_exact(table, alternative="greater").pvalue
        assert more_errors(np.array([wrong]), np.array([n]), all_wrong, total)[0] == pytest.approx(expected)


def test_within_strata_is_cochran_mantel_haenszel() -> None:
    rng = np.random.default_rng(3)
    strata, inside = rng.integers(0, 5, 900), rng.random(900) < 0.3
    wrong = rng.random(900) < 0.1 + 0.1 * strata / 5 + 0.12 * inside
    tables = [
        np.array(
            [
                [(wrong & inside & (strata == s)).sum(), (~wrong & inside & (strata == s)).sum()],
                [(wrong & ~inside & (strata == s)).sum(), (~wrong & ~inside & (strata == s)).sum()],
            ]
        )
        for s in range(5)
    ]
    theirs = StratifiedTable(tables).test_null_odds(correction=False)
    found = within_strata(wrong, inside, strata)
    assert found.p == pytest.approx(theirs.pvalue / 2)
    assert found.expected == pytest.approx(
        sum(wrong[strata == s].mean() * inside[strata == s].sum() for s in range(5))
    )


def test_a_slice_that_is_a_class_is_no_news() -> None:
    strata = np.repeat([0, 1], 100)
    wrong = np.concatenate([np.arange(100) < 40, np.arange(100) < 5])
    assert within_strata(wrong, strata == 0, strata).p == 1.0
    assert more_errors(np.array([40]), np.array([100]), 45, 200)[0] < 1e-8


def test_rank_difference_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 7, 30):
        differences = rng.integers(-4, 5, n).astype(float)
        nonzero = differences[differences != 0]
        ranks = [sum(abs(nonzero) < abs(d)) + (sum(abs(nonzero) == abs(d)) + 1) / 2 for d in nonzero]
        total = sum(rank if d > 0 else -rank for rank, d in zip(ranks, nonzero, strict=True))
        assert rank_difference(differences) == pytest.approx(total / sum(ranks) if len(nonzero) else 0)
    assert rank_difference(np.zeros(4)) == 0
