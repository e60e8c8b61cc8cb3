"""Numbers against independent references: scikit-learn, torchmetrics, and cases known by hand."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from explain import render
from explain.attention import UNIFORM_BORDER_MASS, attention_statistics
from models.evaluation import calibration, evaluate, wilson_interval


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    prob = rng.dirichlet(np.full(6, 0.4), 500)
    label = np.where(rng.random(500) < 0.6, prob.argmax(1), rng.integers(0, 6, 500))
    label[label == 4] = 0  # a class without images
    return label, prob.argmax(1), prob


def test_evaluation_equals_scikit_learn(answers: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    label, pred, prob = answers
    e = evaluate(label, pred, prob.max(1), 6)
    seen = [0, 1, 2, 3, 5]
    assert np.array_equal(e.confusion, metrics.confusion_matrix(label, pred, labels=range(6)))
    assert e.accuracy == pytest.approx(metrics.accuracy_score(label, pred))
    assert e.macro_f1 == pytest.approx(metrics.f1_score(label, pred, average="macro", labels=seen))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(label, pred, labels=seen)
    for ours, theirs in ((e.precision, precision), (e.recall, recall), (e.f1, f1), (e.support, support)):
        np.testing.assert_allclose(ours[seen], theirs)
    assert np.isnan(e.recall[4])


def test_calibration_equals_torchmetrics(answers: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    label, pred, prob = answers
    ours, over = calibration(prob.max(1), (label == pred).astype(float))
    theirs = multiclass_calibration_error(torch.tensor(prob), torch.tensor(label), num_classes=6, n_bins=15)
    assert ours == pytest.approx(float(theirs), abs=1e-6)
    assert over == pytest.approx(prob.max(1).mean() - (label == pred).mean())


def test_wilson_interval_as_published() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0, 1)


def test_nothing_to_evaluate() -> None:
    e = evaluate(np.array([], int), np.array([], int), np.array([]), 3)
    assert np.isnan(e.accuracy)
    assert np.isnan(e.macro_f1)


# -- attention statistics ------------------------------------------------------------------------


def test_even_map() -> None:
    for shape in ((7, 7), (8, 8), (14, 9)):
        s = {k: float(v[0]) for k, v in attention_statistics(np.ones((1, *shape))).items()}
        assert s["entropy"] == pytest.approx(1)
        assert s["border_mass"] == pytest.approx(UNIFORM_BORDER_MASS) == pytest.approx(0.4375)
        assert (s["center_x"], s["center_y"]) == pytest.approx((0.5, 0.5))


def test_one_point() -> None:
    raw = np.zeros((2, 8, 8))
    raw[0, 4, 6], raw[1, 0, 7] = 5, 1
    raw[:, 2, 2] = -9  # negative evidence has no mass
    s = attention_statistics(raw)
    np.testing.assert_allclose(s["border_mass"], [0, 1], atol=1e-7)
    np.testing.assert_allclose(s["center_x"], [6.5 / 8, 7.5 / 8])
    np.testing.assert_allclose(s["center_y"], [4.5 / 8, 0.5 / 8])
    np.testing.assert_allclose(s["spread"], 0, atol=1e-7)
    np.testing.assert_allclose(s["entropy"], 0, atol=1e-7)


def test_border_does_not_depend_on_resolution() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.random((5, 7, 7))
    fine = coarse.repeat(8, 1).repeat(8, 2)
    np.testing.assert_allclose(attention_statistics(coarse)["border_mass"], attention_statistics(fine)["border_mass"], rtol=1e-6)


def test_maps_without_evidence() -> None:
    s = attention_statistics(np.stack([np.zeros((4, 4)), -np.ones((4, 4)), np.full((4, 4), np.nan)]))
    assert all(np.isnan(v).all() for v in s.values())


# -- rendering -----------------------------------------------------------------------------------


def test_normalise() -> None:
    raw = np.array([[[-2.0, 1.0], [4.0, np.nan]]])
    np.testing.assert_allclose(render.normalise(raw), [[[0, 0.25], [1, 0]]])
    np.testing.assert_allclose(render.normalise(raw, 8), [[[0, 0.125], [0.5, 0]]])
    assert (render.normalise(np.zeros((2, 2))) == 0).all()


def test_problems_are_named() -> None:
    assert render.problem(np.full((2, 2), np.nan)) == "no map: the layer gave no finite number"
    assert render.problem(np.array([[1.0, np.inf]])) == "parts of the map are not finite"
    assert render.problem(np.zeros((2, 2))) == "no positive evidence"
    assert render.problem(np.eye(2)) == ""


def test_pictures_of_maps() -> None:
    import base64
    import io

    from PIL import Image

    def opened(url: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))

    scaled = np.linspace(0, 1, 49).reshape(7, 7)
    url = render.map_png(scaled)
    assert len(url) < 300
    np.testing.assert_array_equal(np.asarray(opened(url)), np.round(scaled * 255))
    assert opened(render.map_png(scaled, 4)).size == (28, 28)
    change = np.asarray(opened(render.difference_png(np.array([[1.0, -1.0, 0.0]]))))
    assert change[0, :, 3].tolist() == [255, 255, 0]
    assert change[0, 0, 1] > change[0, 0, 0]
    assert change[0, 1, 0] > change[0, 1, 1]
    assert all(f'id="vt-{name}"' in render.colour_filters() for name in render.COLOUR_MAPS)
