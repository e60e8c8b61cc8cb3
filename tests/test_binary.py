"""Curves and measures of two classes, against scikit-learn, plain loops, and answers known by hand."""

import numpy as np
import pytest
from sklearn import metrics

from explain.analysis.binary.measures import (
    RESAMPLES,
    BinaryScores,
    Counts,
    delong_variance,
    shortest_between,
)
from models.errors import UserError


def drawn(
    seed: int, positives: int, negatives: int, apart: float = 1.0, digits: int | None = None
) -> BinaryScores:
    """Normal scores through a sigmoid; `digits`: rounded, so that there are ties."""
    rng = np.random.default_rng(seed)
    truth = np.arange(positives + negatives) < positives
    z = rng.normal(0, 1, len(truth)) + apart * truth
    score = 1 / (1 + np.exp(-z))
    return BinaryScores.of(truth, score if digits is None else score.round(digits))


CASES = [
    drawn(0, 60, 90),
    drawn(1, 30, 300, digits=1),
    drawn(2, 200, 50, apart=0.0, digits=2),
    drawn(3, 5, 7, apart=9.0),
    BinaryScores.of(np.array([True, False, True]), np.array([0.5, 0.5, 0.5])),
]


@pytest.mark.parametrize("s", CASES)
def test_curves_and_areas_are_those_of_scikit_learn(s: BinaryScores) -> None:
    fpr, tpr, _ = metrics.roc_curve(s.truth, s.score, drop_intermediate=False)
    np.testing.assert_allclose(s.roc, (fpr, tpr), atol=1e-12)
    precision, recall, _ = metrics.precision_recall_curve(s.truth, s.score)
    np.testing.assert_allclose(s.precision_recall, (recall[-2::-1], precision[-2::-1]), atol=1e-12)
    assert s.auc == pytest.approx(metrics.roc_auc_score(s.truth, s.score), abs=1e-9)
    assert s.average_precision == pytest.approx(metrics.average_precision_score(s.truth, s.score), abs=1e-9)


@pytest.mark.parametrize("s", CASES)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.81, 1.0])
def test_measures_at_a_threshold_are_those_of_scikit_learn(s: BinaryScores, threshold: float) -> None:
    """`score >= threshold`: an image at the threshold is predicted positive."""
    called, found = s.score >= threshold, s.at(threshold)
    tn, fp, fn, tp = metrics.confusion_matrix(s.truth, called, labels=[False, True]).ravel()
    assert found == Counts(tp, fp, fn, tn)
    assert found.sensitivity == pytest.approx(metrics.recall_score(s.truth, called), abs=1e-9)
    assert found.specificity == pytest.approx(metrics.recall_score(~s.truth, ~called), abs=1e-9)
    assert found.f1 == pytest.approx(metrics.f1_score(s.truth, called), abs=1e-9)
    if called.any():
        assert found.precision == pytest.approx(metrics.precision_score(s.truth, called), abs=1e-9)
    else:
        assert np.isnan(found.precision)


@pytest.mark.parametrize("s", CASES[:4])
def test_the_variance_is_delongs(s: BinaryScores) -> None:
    """Placements by comparing every pair, O(n m)."""
    positive, negative = s.score[s.truth], s.score[~s.truth]
    wins = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in negative] for a in positive])
    assert wins.mean() == pytest.approx(s.auc)
    of_positive, of_negative = wins.mean(1), wins.mean(0)
    expected = of_positive.var(ddof=1) / len(positive) + of_negative.var(ddof=1) / len(negative)
    assert delong_variance(s.truth, s.score) == pytest.approx(expected, abs=1e-12)
    if expected:
        half = 1.959964 * expected**0.5
        assert s.auc_interval == pytest.approx((max(0, s.auc - half), min(1, s.auc + half)), abs=1e-6)


def test_intervals_hold_the_true_area() -> None:
    """Of normal scores one standard deviation apart: P(Z < 1 / sqrt(2)) = 0.7602. Of 400 samples about 95 %
    hold it."""
    hits = 0
    for seed in range(400):
        low, high = drawn(seed, 40, 60).auc_interval
        hits += low <= 0.76025 <= high
    assert 0.92 <= hits / 400 <= 0.975


def test_separated_classes_have_an_interval_below_one() -> None:
    """DeLong's variance is 0 there, however few the images."""
    few, many = drawn(3, 5, 7, apart=30.0), drawn(3, 500, 700, apart=30.0)
    assert (few.auc, many.auc) == (1, 1)
    assert few.auc_interval[1] == many.auc_interval[1] == 1
    assert 0.5 < few.auc_interval[0] < 0.8
    assert 0.98 < many.auc_interval[0] < 1
    upside_down = BinaryScores.of(few.truth, 1 - few.score)
    assert upside_down.auc_interval == pytest.approx((0, 1 - few.auc_interval[0]), abs=0.05)
    one = BinaryScores.of(np.array([True, False, False]), np.array([0.5, 0.4, 0.6]))
    assert one.auc == 0.5
    assert 0 <= one.auc_interval[0] < 0.2 < 0.8 < one.auc_interval[1] <= 1


@pytest.mark.slow
def test_the_interval_of_the_average_precision() -> None:
    """The same on every call, and that of a plain bootstrap with scikit-learn."""
    s = drawn(5, 40, 80, digits=2)
    low, high = s.average_precision_interval
    assert BinaryScores.of(s.truth, s.score).average_precision_interval == (low, high)
    rng, found = np.random.default_rng(7), []
    positive, negative = np.flatnonzero(s.truth), np.flatnonzero(~s.truth)
    for _ in range(RESAMPLES):
        picked = np.concatenate([rng.choice(part, len(part)) for part in (positive, negative)])
        found.append(metrics.average_precision_score(s.truth[picked], s.score[picked]))
    np.testing.assert_allclose((low, high), np.quantile(found, [0.025, 0.975]), atol=0.025)
    assert low < s.average_precision < high
    assert np.isnan(drawn(3, 5, 7, apart=30.0).average_precision_interval).all()  # nothing varies


@pytest.mark.slow
def test_intervals_of_fractions_and_of_f1() -> None:
    counts = Counts(40, 20, 10, 130)
    n, p, z = 50, 0.8, 1.959964
    center, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = tuple((center + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert counts.sensitivity_interval == pytest.approx(expected, abs=1e-6)
    low, high = counts.f1_interval
    assert low < counts.f1 < high
    truth = np.repeat([True, True, False, False], [40, 10, 20, 130])
    called = np.repeat([True, False, True, False], [40, 10, 20, 130])
    rng, found = np.random.default_rng(1), []
    for _ in range(1000):
        picked = np.concatenate([rng.integers(0, 50, 50), 50 + rng.integers(0, 150, 150)])
        pair = truth[picked], called[picked]
        found.append(2 * np.logical_and(*pair).sum() / np.sum(pair))
        if len(found) <= 20:
            assert found[-1] == pytest.approx(metrics.f1_score(*pair))
    np.testing.assert_allclose((low, high), np.quantile(found, [0.025, 0.975]), atol=0.02)


@pytest.mark.parametrize("s", CASES)
def test_presets(s: BinaryScores) -> None:
    """Against every threshold that makes a difference."""
    every = [s.at(t) for t in [*np.unique(s.score), 1.1]]
    best = s.at(s.preset("best-f1"))
    assert best.f1 == pytest.approx(max(c.f1 for c in every))
    chosen = s.at(s.preset("sensitivity-90"))
    enough = [c for c in every if c.sensitivity >= 0.9]
    assert chosen.sensitivity >= 0.9
    assert chosen.fp == min(c.fp for c in enough)
    assert chosen.tp == max(c.tp for c in enough if c.fp == chosen.fp)
    assert s.preset("0.5") == 0.5
    assert all(0 <= s.preset(name) <= 1 for name in ("best-f1", "sensitivity-90"))


def test_thresholds_are_short_numbers() -> None:
    assert shortest_between(0.712, 0.7341) == 0.73
    assert shortest_between(0.7, 0.70001) == 0.70001
    assert shortest_between(-1, 0.04) == 0.0
    assert shortest_between(0.2, 1.0) == 1.0
    for low, high in np.sort(np.random.default_rng(0).random((200, 2)) ** 8, axis=1):
        assert low < shortest_between(float(low), float(high)) <= high


def test_thresholds_that_people_write() -> None:
    s = CASES[0]
    assert s.threshold("0.25") == 0.25
    assert s.threshold("best-f1") == s.preset("best-f1")
    for text in ("1.5", "-0.1", "nan", "best", ""):
        with pytest.raises(UserError, match=r"from 0 to 1, or one of 0\.5, best-f1, sensitivity-90"):
            s.threshold(text)


def test_without_a_probability_or_without_a_class() -> None:
    s = BinaryScores.of(np.array([True, False, True]), np.array([0.7, np.nan, 0.2]), left_out=2)
    assert (s.positives, s.negatives, s.left_out) == (2, 0, 3)
    assert "No image is of the negative class" in s.undefined
    assert s.at(0.5) == Counts(1, 0, 1, 0)
    assert (
        "No image is of the positive class" in BinaryScores.of(np.array([False]), np.array([0.2])).undefined
    )
    assert "No image has a probability" in BinaryScores.of(np.array([True]), np.array([np.nan])).undefined
    with pytest.raises(UserError, match=r"not defined\. Give the threshold as a number"):
        s.preset("best-f1")
    assert s.threshold("0.9") == 0.9
