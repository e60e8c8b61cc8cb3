"""Results of images with any number of labels, against scikit-learn, torchmetrics, plain loops, and the
answers of the cases."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torchmetrics.classification import MultilabelAveragePrecision

from explain.analysis.multi_label.counts import AVERAGES, LabelCounts
from explain.analysis.multi_label.measures import LabelScores
from explain.analysis.multi_label.text import (
    MEANINGS,
    areas,
    averages,
    class_rows,
    format_multi_label,
    headline,
)
from explain.analysis.statistics.intervals import RESAMPLES, percentiles, resamples, wilson_intervals
from models.errors import UserError
from models.measures.evaluation import wilson_interval


def drawn(seed: int, n: int, prevalence: tuple[float, ...], digits: int | None = None) -> LabelScores:
    """Normal logits, one standard deviation apart; `digits`: rounded, so that there are ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, len(prevalence))) < prevalence
    prob = 1 / (1 + np.exp(-rng.normal(0, 1, truth.shape) - 1.0 * truth + 0.5))
    names = [f"c{k}" for k in range(len(prevalence))]
    return LabelScores.of(truth, prob if digits is None else prob.round(digits), names)


@st.composite
def any_scores(draw: st.DrawFn) -> LabelScores:
    """Small tables with ties, classes without images, and a single image."""
    n, k = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    cells = st.lists(st.integers(0, 10), min_size=n * k, max_size=n * k)
    prob = np.array(draw(cells)).reshape(n, k) / 10
    truth = np.array(draw(cells)).reshape(n, k) < draw(st.sampled_from([0, 3, 8, 11]))
    truth[:, 0] &= draw(st.booleans())
    return LabelScores.of(truth, prob, [f"c{i}" for i in range(k)])


ANY_THRESHOLD = st.integers(0, 11).map(lambda t: t / 10)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(any_scores())
def test_areas_are_those_of_scikit_learn(s: LabelScores) -> None:
    ap, auc = [], []
    for k, name in enumerate(s.classes):
        truth, prob = s.truth[:, k], s.prob[:, k]
        both = 0 < truth.sum() < len(truth)
        assert (name in s.undefined) == (not both)
        ap.append(metrics.average_precision_score(truth, prob) if both else np.nan)
        auc.append(metrics.roc_auc_score(truth, prob) if both else np.nan)
    np.testing.assert_allclose(s.average_precision, ap, atol=1e-9)
    np.testing.assert_allclose(s.auc, auc, atol=1e-9)
    known = [k for k, name in enumerate(s.classes) if name not in s.undefined]
    if known:
        assert s.mean_average_precision == pytest.approx(np.mean(np.array(ap)[known]), abs=1e-9)
        assert s.macro_auc == pytest.approx(np.mean(np.array(auc)[known]), abs=1e-9)
    else:
        assert np.isnan([s.mean_average_precision, s.macro_auc]).all()


def test_areas_of_many_images() -> None:
    """scikit-learn's own macro average, and torchmetrics'."""
    s = drawn(0, 400, (0.5, 0.1, 0.03, 0.9), digits=2)
    assert s.mean_average_precision == pytest.approx(
        metrics.average_precision_score(s.truth, s.prob, average="macro"), abs=1e-9
    )
    assert s.macro_auc == pytest.approx(metrics.roc_auc_score(s.truth, s.prob, average="macro"), abs=1e-9)
    theirs = MultilabelAveragePrecision(num_labels=4)(torch.tensor(s.prob), torch.tensor(s.truth).long())
    assert s.mean_average_precision == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(any_scores(), st.lists(ANY_THRESHOLD, min_size=4, max_size=4))
def test_measures_at_thresholds_are_those_of_scikit_learn(s: LabelScores, thresholds: list[float]) -> None:
    each = np.array(thresholds[: len(s.classes)])
    c, called = s.at(each), s.prob >= each
    confusion = metrics.multilabel_confusion_matrix(s.truth, called)
    np.testing.assert_array_equal(np.stack([c.tn, c.fp, c.fn, c.tp], 1), confusion.reshape(-1, 4))
    nan_to_zero = np.nan_to_num([c.precision, c.recall, c.f1])
    expected = metrics.precision_recall_fscore_support(s.truth, called, zero_division=0)
    np.testing.assert_allclose(nan_to_zero, expected[:3], atol=1e-9)
    undefined = metrics.precision_recall_fscore_support(s.truth, called, zero_division=np.nan)
    np.testing.assert_array_equal(np.isnan([c.precision, c.recall, c.f1]), np.isnan(undefined[:3]))
    for kind in ("micro", "macro"):
        expected = metrics.precision_recall_fscore_support(s.truth, called, average=kind, zero_division=0)
        found = [c.averages[f"{kind}_{name}"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(list(expected[:3]), abs=1e-9)
    assert c.averages["subset_accuracy"] == pytest.approx(metrics.accuracy_score(s.truth, called), abs=1e-9)
    assert c.averages["hamming_loss"] == pytest.approx(metrics.hamming_loss(s.truth, called), abs=1e-9)
    assert c.averages["labels_per_image"] == pytest.approx(s.truth.sum(1).mean())
    assert c.averages["called_per_image"] == pytest.approx(called.sum(1).mean())
    assert tuple(sorted(c.averages)) == tuple(sorted(AVERAGES)) == tuple(sorted(c.intervals))


@settings(max_examples=30, deadline=None)
@given(any_scores(), ANY_THRESHOLD)
def test_matrices_are_those_of_a_plain_loop(s: LabelScores, threshold: float) -> None:
    c, size = s.at(threshold), len(s.classes)
    instead, together = np.zeros((size, size), int), np.zeros((size, size), int)
    for truth, prob in zip(s.truth, s.prob, strict=True):
        for a in range(size):
            for b in range(size):
                together[a, b] += truth[a] and truth[b]
                missed, alarm = truth[a] and prob[a] < threshold, not truth[b] and prob[b] >= threshold
                instead[a, b] += missed and alarm
    np.testing.assert_array_equal(c.called_instead, instead)
    np.testing.assert_array_equal(s.together, together)
    assert np.issubdtype(c.called_instead.dtype, np.integer)
    for a in range(size):
        assert s.chance_of_together[a, a] == s.positives[a] == together[a, a]
        for b in set(range(size)) - {a}:
            expected = s.truth[:, a].mean() * s.truth[:, b].mean() * s.images
            assert s.chance_of_together[a, b] == pytest.approx(expected)


def test_presets_are_those_of_each_class() -> None:
    s = drawn(1, 200, (0.4, 0.1, 0.0))
    for name in ("best-f1", "sensitivity-90"):
        expected = [s.of_class(0).preset(name), s.of_class(1).preset(name), 0.5]
        np.testing.assert_array_equal(s.thresholds(name), expected)
    np.testing.assert_array_equal(s.thresholds("0.5"), [0.5] * 3)
    np.testing.assert_array_equal(s.thresholds("0.25"), [0.25] * 3)
    with pytest.raises(UserError, match="from 0 to 1, or one of"):
        s.thresholds("many")
    every = [s.at(t).f1[:2] for t in np.unique(s.prob)]
    np.testing.assert_allclose(s.at(s.thresholds("best-f1")).f1[:2], np.nanmax(every, 0))
    assert (s.at(s.thresholds("sensitivity-90")).recall[:2] >= 0.9).all()


# -- what is left out ------------------------------------------------------------------------------------


def test_rows_with_a_nan_are_left_out_and_counted() -> None:
    truth = np.array([[1, 0], [np.nan, 1], [0, 1], [1, 1]])
    prob = np.array([[0.9, 0.2], [0.5, 0.5], [np.nan, 0.1], [0.4, 0.7]])
    s = LabelScores.of(truth, prob, ("a", "b"), left_out=2)
    assert (s.images, s.left_out) == (2, 4)
    np.testing.assert_array_equal(s.prob, prob[[0, 3]])
    np.testing.assert_array_equal(s.truth, [[True, False], [True, True]])
    assert "left out       " in format_multi_label(s, s.at(0.5))[-1]
    assert s.of_class(0).left_out == 4


def test_without_any_image() -> None:
    s = LabelScores.of(np.ones((3, 2)), np.full((3, 2), np.nan), ("a", "b"))
    c = s.at(0.5)
    assert (s.images, s.left_out, s.undefined) == (0, 3, ("a", "b"))
    assert np.isnan([s.mean_average_precision, s.macro_auc, *c.averages.values()]).all()
    assert np.isnan([*c.intervals.values(), s.mean_average_precision_interval]).all()
    assert not c.called_instead.any()
    assert not s.chance_of_together.any()
    np.testing.assert_array_equal(s.thresholds("best-f1"), [0.5, 0.5])
    text = "\n".join([headline(s, c), *format_multi_label(s, c), *map(str, class_rows(s, c))])
    assert "mAP –" in text
    assert "all labels right –" in text


def test_labels_and_shapes_that_are_refused() -> None:
    with pytest.raises(UserError, match=r"A label is -1: .* 0, 1 or empty"):
        LabelScores.of(np.array([[1, -1]]), np.array([[0.5, 0.5]]), ("a", "b"))
    for classes, prob in ((("a",), np.ones((1, 2))), (("a", "b"), np.ones((1, 3)))):
        with pytest.raises(ValueError, match="classes"):
            LabelScores.of(np.ones((1, 2)), prob, classes)


# -- intervals -------------------------------------------------------------------------------------------


def test_intervals_of_fractions_are_wilsons() -> None:
    hits, n = np.array([0, 3, 10, 0, 999]), np.array([10, 7, 10, 0, 50000])
    found = wilson_intervals(hits, n)
    for ends, h, m in zip(found, hits, n, strict=True):
        expected = wilson_interval(int(h), int(m)) if m else (np.nan, np.nan)
        np.testing.assert_allclose(ends, expected, atol=1e-12)
    c = drawn(2, 60, (0.3, 0.1)).at(0.5)
    for k in range(2):
        one = c.of_class(k)
        assert c.precision_interval[k] == pytest.approx(one.precision_interval)
        assert c.recall_interval[k] == pytest.approx(one.sensitivity_interval)
        assert tuple(c.f1_interval[k]) == one.f1_interval
    right = metrics.accuracy_score(c.truth, c.called, normalize=False)
    assert c.intervals["subset_accuracy"] == pytest.approx(wilson_interval(int(right), 60))


def average_precision(truth: np.ndarray, prob: np.ndarray) -> float:
    """As scikit-learn's, in a loop: at each threshold the recall that is gained, times the precision."""
    area = found = 0.0
    for threshold in np.unique(prob)[::-1]:
        called = prob >= threshold
        hits = float(truth[called].sum())
        area, found = area + (hits - found) / truth.sum() * hits / called.sum(), hits
    return area


@pytest.mark.slow
def test_bootstrap_is_that_of_a_loop_over_the_same_samples() -> None:
    """Images repeated as often as they are drawn, and measured by a loop, which is that of scikit-learn in
    the first samples; one class is rare, so that some samples do not have it."""
    s = drawn(3, 40, (0.5, 0.2, 0.05), digits=1)
    c, found, names = s.at(0.4), [], ("micro_f1", "macro_f1", "hamming_loss", "labels_per_image")
    weights = np.concatenate(list(resamples(40)))
    assert weights.shape == (RESAMPLES, 40)
    assert (weights.sum(1) == 40).all()
    for weight in weights:
        rows = np.repeat(np.arange(40), weight)
        known = [(s.truth[rows, k], s.prob[rows, k]) for k in range(3) if s.truth[rows, k].any()]
        ap = [average_precision(*pair) for pair in known]
        if len(found) < 20:
            assert ap == pytest.approx([metrics.average_precision_score(*pair) for pair in known], abs=1e-12)
        again = LabelCounts(s.truth[rows], c.called[rows], c.thresholds)
        found.append([np.mean(ap), *(again.averages[name] for name in names)])
    expected = np.quantile(found, [0.025, 0.975], axis=0).T
    ours = [s.mean_average_precision_interval, *(c.intervals[name] for name in names)]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert (weights[:, s.truth[:, 2]].sum(1) == 0).any()


def test_fewer_thresholds_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,500 images; 50 thresholds instead of about 400, 600 and 900 of the three classes."""
    every, few = (drawn(4, 1500, (0.25, 0.4, 0.6)) for _ in range(2))
    exact = np.vstack([every.average_precision_interval, every.mean_average_precision_interval])
    monkeypatch.setattr("explain.analysis.multi_label.measures.STEPS", 50)
    fewer = np.vstack([few.average_precision_interval, few.mean_average_precision_interval])
    assert not np.array_equal(fewer, exact)
    assert (np.abs(fewer - exact).max(1) < 0.05 * np.ptp(exact, axis=1)).all()


@pytest.mark.slow
def test_intervals_hold_the_true_value_in_95_of_100_samples() -> None:
    whole = drawn(99, 200_000, (0.4, 0.2, 0.3))
    micro, area = whole.at(0.5).averages["micro_f1"], whole.mean_average_precision
    held = np.zeros(2)
    for seed in range(120):
        s = drawn(seed, 200, (0.4, 0.2, 0.3))
        for i, (value, (low, high)) in enumerate(
            [(micro, s.at(0.5).intervals["micro_f1"]), (area, s.mean_average_precision_interval)]
        ):
            held[i] += low <= value <= high
    assert (held / 120 >= 0.88).all()
    assert (held / 120 <= 0.995).all()


def test_what_does_not_vary_has_no_interval() -> None:
    assert np.isnan(percentiles(np.array([[1.0, np.nan], [1.0, np.nan]]))).all()
    s = LabelScores.of(np.array([[1, 0]]), np.array([[0.9, 0.8]]), ("a", "b"))
    c = s.at(0.5)
    assert np.isnan(c.intervals["micro_f1"]).all()
    assert c.averages["micro_f1"] == pytest.approx(2 / 3)
    assert "micro F1 0.667 ·" in headline(s, c)


# -- text ------------------------------------------------------------------------------------------------


def test_text_says_what_is_not_defined() -> None:
    s = drawn(5, 300, (0.4, 0.2, 0.0))
    c = s.at(np.array([0.5, 0.5, 1.0]))
    m = {x.name: x for x in [*areas(s), *averages(c)]}
    assert "2 of 3 classes" in m["mAP"].note
    assert "1 class where it is not defined counted as 0" in m["macro F1"].note
    right, n = int(np.all(c.called == s.truth, axis=1).sum()), 300
    assert m["subset accuracy"].note == f"{right} of 300 images"
    assert f"all labels right {100 * right / n:.1f}\u00a0% (" in headline(s, c)
    assert "all labels right 0.0\u00a0% (0.0–" in headline(s, s.at(0.0))
    nothing = metrics.hamming_loss(s.truth, np.zeros_like(s.truth))
    assert m["Hamming loss"].note == f"{nothing:.3f} if nothing is predicted"
    assert all(x.meaning for x in m.values())
    assert set(MEANINGS) == set(AVERAGES)
    assert any(line.startswith("no AP, no AUC") and "c2" in line for line in format_multi_label(s, c))


def test_rows_of_the_classes() -> None:
    s = drawn(6, 100, (0.4, 0.2, 0.0))
    c = s.at(s.thresholds("best-f1"))
    rows = class_rows(s, c)
    assert [row.name for row in rows] == list(s.classes)
    assert [row.images for row in rows] == s.truth.sum(0).tolist()
    assert [row.predicted for row in rows] == c.called.sum(0).tolist()
    assert [row.threshold for row in rows] == c.thresholds.tolist()
    first, last = rows[0], rows[2]
    assert first.average_precision.value == s.average_precision[0]
    low, high = first.average_precision.interval
    assert low < first.average_precision.value < high
    assert first.recall.note == f"{c.tp[0]} of {s.positives[0]}"
    for measure in (last.average_precision, last.recall):
        assert np.isnan([measure.value, *measure.interval]).all()


# -- the cases -------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["multilabel_labels", "multilabel_onehot"])
def test_cases(name: str) -> None:
    if not os.environ.get("VITRINE_CASES"):
        pytest.skip("VITRINE_CASES is not set: it names the folder that the cases were built into")
    folder = Path(os.environ["VITRINE_CASES"])
    entry = next(e for e in json.loads((folder / "expected.json").read_text()) if e["name"] == name)
    data = pd.read_csv(folder / entry["data"], dtype=str, keep_default_na=False)
    answers = pd.read_csv(folder / entry["predictions"])
    classes = entry["class_order"]
    if "labels" in data:
        truth = np.array([[k in cell.split("|") for k in classes] for cell in data["labels"]])
    else:
        truth = data[classes].astype(int).to_numpy()
    assert data["image"].tolist() == answers["image"].tolist()
    s = LabelScores.of(truth, answers[[f"prob_{k}" for k in classes]].to_numpy(), classes)
    c, expected = s.at(0.5), entry["metrics"]
    assert (s.images, s.left_out) == (entry["images"], 0)
    assert s.mean_average_precision == pytest.approx(expected["map"], abs=6e-5)
    for key in ("micro_f1", "macro_f1", "subset_accuracy"):
        assert c.averages[key] == pytest.approx(expected[key], abs=6e-5)
