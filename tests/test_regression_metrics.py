"""Results that are numbers, against scikit-learn, SciPy, torchmetrics, a plain loop, and the answers of the
cases."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn import metrics
from torchmetrics.regression import ConcordanceCorrCoef

from explain.analysis.numbers.measures import MEASURES, NumberScores
from explain.analysis.numbers.text import MEANINGS, format_regression, headline, measures, number
from explain.analysis.statistics.intervals import resamples


def drawn(seed: int, n: int, outputs: int = 2, scale: float = 1.0) -> NumberScores:
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 2, (n, outputs))
    predicted = 0.7 * truth + rng.normal(0.5, 1, truth.shape)
    return NumberScores.of(scale * truth, scale * predicted, [f"y{k}" for k in range(outputs)])


def lin(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Equation 1.1 of Lin 1989, with sums divided by n."""
    n = len(truth)
    x, y = sum(truth) / n, sum(predicted) / n
    covariance = sum((a - x) * (b - y) for a, b in zip(truth, predicted, strict=True)) / n
    variances = sum((a - x) ** 2 for a in truth) / n + sum((b - y) ** 2 for b in predicted) / n
    return float(2 * covariance / (variances + (x - y) ** 2))


def plain(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Of one output, by scikit-learn and SciPy."""
    varies, both = len(set(truth)) > 1, len(set(truth)) > 1 and len(set(predicted)) > 1
    return {
        "mae": metrics.mean_absolute_error(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "pearson": float(pearsonr(truth, predicted).statistic) if both else np.nan,
        "ccc": lin(truth, predicted) if varies else np.nan,
        "r2": metrics.r2_score(truth, predicted) if varies else np.nan,
        "bias": float(np.mean([b - a for a, b in zip(truth, predicted, strict=True)])),
    }


@st.composite
def any_numbers(draw: st.DrawFn) -> NumberScores:
    """Few values, so that constant outputs and a single image occur."""
    n, outputs = draw(st.integers(1, 10)), draw(st.integers(1, 3))
    cells = st.lists(st.integers(-20, 20), min_size=n * outputs, max_size=n * outputs)
    unit, shift = draw(st.sampled_from([0.1, 1.0, 1000.0])), draw(st.sampled_from([0.0, 0.1, -5000.0]))
    truth, predicted = (np.array(draw(cells)).reshape(n, outputs) * unit + shift for _ in range(2))
    if draw(st.booleans()):
        truth[:, 0] = truth[0, 0]
    if draw(st.booleans()):
        predicted[:, -1] = predicted[0, -1]
    return NumberScores.of(truth, predicted, [f"y{k}" for k in range(outputs)])


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(any_numbers())
def test_measures_are_those_of_scikit_learn_and_scipy(s: NumberScores) -> None:
    for k in range(len(s.names)):
        expected = plain(s.truth[:, k], s.predicted[:, k])
        for name in MEASURES:
            np.testing.assert_allclose(s.values[name][k], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(s.residuals, s.predicted - s.truth)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_measures_of_many_images(scale: float) -> None:
    s = drawn(0, 500, 3, scale)
    for k in range(3):
        expected = plain(s.truth[:, k], s.predicted[:, k])
        for name in MEASURES:
            assert s.values[name][k] == pytest.approx(expected[name], rel=1e-9), name


def test_ccc_is_that_of_torchmetrics_up_to_its_variances() -> None:
    """torchmetrics divides variances by n - 1, which makes no difference where the means are equal, and
    elsewhere one of the squared difference of the means: 1 / ccc changes by that part alone."""
    s = drawn(1, 50)
    predicted = s.predicted - s.predicted.mean(0) + s.truth.mean(0)
    same = NumberScores.of(s.truth, predicted, s.names)
    theirs = ConcordanceCorrCoef(num_outputs=2)(torch.tensor(predicted), torch.tensor(s.truth))
    np.testing.assert_allclose(same.values["ccc"], theirs, atol=1e-6)
    theirs = ConcordanceCorrCoef(num_outputs=2)(torch.tensor(s.predicted), torch.tensor(s.truth)).numpy()
    for k in range(2):
        covariance = np.cov(s.truth[:, k], s.predicted[:, k], ddof=0)[0, 1]
        part = (s.truth[:, k].mean() - s.predicted[:, k].mean()) ** 2 / (2 * covariance)
        assert 1 / s.values["ccc"][k] - 1 / theirs[k] == pytest.approx(part * (1 - 49 / 50), abs=1e-5)


def test_what_is_not_defined() -> None:
    """Constant truth: no correlation, agreement or R²; constant predictions: no correlation, CCC 0."""
    truth, predicted = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]]), np.array([[1.0, 3], [2, 3], [3, 3]])
    v = NumberScores.of(truth, predicted, ("a", "b")).values
    assert np.isnan([v["pearson"][0], v["ccc"][0], v["r2"][0], v["pearson"][1]]).all()
    assert v["ccc"][1] == pytest.approx(0, abs=1e-12)
    assert v["r2"][1] == pytest.approx(metrics.r2_score(truth[:, 1], predicted[:, 1]))
    one = NumberScores.of(np.array([[2.0]]), np.array([[3.0]]), ("a",))
    assert (one.values["mae"][0], one.values["rmse"][0], one.values["bias"][0]) == (1, 1, 1)
    assert np.isnan([one.values[name][0] for name in ("pearson", "ccc", "r2")]).all()
    assert np.isnan(list(one.intervals.values())).all()


def test_left_out_images_are_counted() -> None:
    truth = np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, 3.0]])
    predicted = np.array([[1.5, 2.0], [1.0, 1.0], [3.0, np.inf]])
    s = NumberScores.of(truth, predicted, ("a", "b"), left_out=1)
    assert (s.images, s.left_out) == (1, 3)
    assert format_regression(s)[-1].endswith("3 images without a prediction or without a true number")
    none = NumberScores.of(np.full((2, 1), np.nan), np.ones((2, 1)), ("a",))
    assert (none.images, none.left_out) == (0, 2)
    assert np.isnan(list(none.values.values())).all()
    assert np.isnan(list(none.intervals.values())).all()
    assert measures(none, 0)[0].note == "no image has a prediction and a true number"
    with pytest.raises(ValueError, match="outputs"):
        NumberScores.of(truth, predicted, ("a",))


@pytest.mark.slow
def test_intervals_are_those_of_a_loop_over_the_same_samples() -> None:
    s = drawn(2, 25, 1)
    found = []
    for weight in np.concatenate(list(resamples(25))):
        rows = np.repeat(np.arange(25), weight)
        found.append(list(plain(s.truth[rows, 0], s.predicted[rows, 0]).values()))
    expected = np.quantile(found, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose([s.intervals[name][0] for name in MEASURES], expected, atol=1e-9)


def test_intervals_hold_the_true_value_in_95_of_100_samples() -> None:
    whole, held = drawn(99, 200_000, 1), dict.fromkeys(MEASURES, 0)
    for seed in range(150):
        s = drawn(seed, 120, 1)
        for name in MEASURES:
            low, high = s.intervals[name][0]
            held[name] += low <= whole.values[name][0] <= high
    assert all(0.88 <= count / 150 <= 0.995 for count in held.values()), held


def test_text() -> None:
    s = drawn(3, 200, 1)
    line, found = headline(s, 0), measures(s, 0)
    assert [m.name for m in found] == [name for name, _ in MEANINGS.values()]
    assert tuple(MEANINGS) == MEASURES
    assert all(m.meaning and m.interval[0] < m.value < m.interval[1] for m in found)
    assert f"RMSE {s.values['rmse'][0]:.4g} (" in line
    assert f"CCC {s.values['ccc'][0]:.3f} (" in line
    constant = NumberScores.of(np.ones((5, 1)), np.arange(5.0)[:, None], ("a",))
    assert measures(constant, 0)[3].note == "not defined: the true numbers do not vary"
    assert "Pearson r – ·" in headline(constant, 0)
    still = NumberScores.of(np.arange(5.0)[:, None], np.ones((5, 1)), ("a",))
    assert measures(still, 0)[2].note == "not defined: the predicted numbers do not vary"


def test_numbers_as_text() -> None:
    assert number(1.23456) == "1.235"
    assert number(-12345.6) == "−12,346"
    assert number(-0.0) == "0"
    assert number(0.00001234) == "1.234e−05"
    assert number(float("nan")) == "–"
    assert number(0.99999, unit=False) == ">0.999"
    assert number(1.0, unit=False) == "1.000"
    assert number(-0.0001, unit=False) == "0.000"
    assert number(-2.5, unit=False) == "−2.500"
    assert number(-123456789012.3, unit=False) == "−1.235e+11"


@pytest.mark.data
def test_cases() -> None:
    if not os.environ.get("VITRINE_CASES"):
        pytest.skip("VITRINE_CASES is not set: it names the folder that the cases were built into")
    folder = Path(os.environ["VITRINE_CASES"])
    entry = next(e for e in json.loads((folder / "expected.json").read_text()) if e["name"] == "regression")
    data, answers = pd.read_csv(folder / entry["data"]), pd.read_csv(folder / entry["predictions"])
    assert data["image"].tolist() == answers["image"].tolist()
    s = NumberScores.of(data[["ink"]].to_numpy(), answers[["pred"]].to_numpy(), ("ink",))
    assert (s.images, s.left_out) == (entry["images"], 0)
    assert s.values["rmse"][0] == pytest.approx(entry["metrics"]["rmse"], abs=6e-5)
    assert s.values["pearson"][0] == pytest.approx(entry["metrics"]["pearson_r"], abs=6e-5)
