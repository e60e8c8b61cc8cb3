"""A method against its best control: differences, test, and what counts."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from explain.quality.comparison import compare


@pytest.mark.slow
def test_comparison_is_that_of_scipy_and_statsmodels() -> None:
    rng = np.random.default_rng(0)
    controls = {"center": rng.normal(0.3, 0.1, 60), "noise": rng.normal(0, 0.1, 60)}
    methods = {name: rng.normal(mean, 0.1, 60) for name, mean in (("a", 0.4), ("b", 0.31), ("c", 0.1))}
    methods["a"][3] = np.nan
    found = compare(methods, dict.fromkeys(methods, controls))
    known = {name: np.isfinite(values) for name, values in methods.items()}
    p = [stats.wilcoxon(methods[m][known[m]] - controls["center"][known[m]]).pvalue for m in methods]
    adjusted = multipletests(p, method="holm")[1]
    for (name, one), expected in zip(found.items(), adjusted, strict=True):
        difference = (methods[name] - controls["center"])[known[name]]
        assert one.best == "center"
        assert one.images == known[name].sum()
        assert one.p == pytest.approx(expected, rel=1e-9)
        assert one.difference == pytest.approx(difference.mean())
        assert one.wins == pytest.approx((difference > 0).mean())
        assert one.interval[0] < one.difference < one.interval[1]
    assert [one.outcome for one in found.values()] == ["better", "not better", "worse"]


@pytest.mark.parametrize(("apart", "least", "outcome"), [(4e-3, 5e-3, "not better"), (6e-3, 5e-3, "better")])
def test_a_difference_that_is_no_chance_and_too_small_does_not_count(
    apart: float, least: float, outcome: str
) -> None:
    """Maps of a network with random weights, whose probabilities change by a thousandth, are better than
    their controls on most images."""
    rng = np.random.default_rng(0)
    center = rng.normal(0, 0.001, 40)
    values = {"a": center + apart + rng.normal(0, 1e-4, 40)}
    [found] = compare(values, {"a": {"center": center}}, least).values()
    assert found.p < 0.001
    assert found.wins == 1
    assert (found.outcome, found.negligible) == (outcome, outcome == "not better")
    [any_size] = compare(values, {"a": {"center": center}}).values()
    assert any_size.outcome == "better"  # of numbers, which have units


def test_equal_and_few_values_conclude_nothing() -> None:
    same = np.arange(20.0)
    [equal] = compare({"a": same}, {"a": {"center": same}}).values()
    assert (equal.outcome, equal.p, equal.wins) == ("not better", 1.0, 0.0)
    [few] = compare({"a": same[:9] + 1}, {"a": {"center": same[:9]}}).values()
    assert few.outcome == "too few images"
    [none] = compare({"a": np.full(3, np.nan)}, {"a": {"center": np.zeros(3)}}).values()
    assert none.outcome == "too few images"
    assert none.images == 0


def test_a_mean_against_the_ranks_concludes_nothing() -> None:
    """Few images that differ much turn the mean, most images the ranks."""
    control = np.full(60, 0.2)
    method = control - 0.011 + np.linspace(0, 1e-3, 60)
    method[:9] = control[:9] + 0.17
    for values, sign in ((method, 1), (2 * control - method, -1)):
        [found] = compare({"m": values}, {"m": {"center": control}}).values()
        assert found.p < 0.05
        assert np.sign(found.difference) == sign
        assert np.sign(found.ranks) == -sign
        assert found.outcome == "not better"
