"""Numbers against independent references: scikit-learn, torchmetrics, and cases known by hand."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torchmetrics.functional import concordance_corrcoef, mean_squared_error, pearson_corrcoef
from torchmetrics.functional.classification import multiclass_calibration_error

from explain import render
from explain.formatting import ordinal
from explain.run.map_stats import UNIFORM_BORDER_MASS, attention_statistics
from models.measures.affect import affect_measures
from models.measures.calibration import calibration, fit_temperature, reliability, softmax
from models.measures.evaluation import evaluate, kappa, wilson_interval
from models.measures.roc import roc_curves


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
    assert e.kappa == pytest.approx(metrics.cohen_kappa_score(label, pred))


def test_kappa_of_known_tables() -> None:
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(
        0.4
    )  # Cohen's textbook case: 0.7 seen, 0.5 by chance
    assert kappa(np.array([[9, 0], [0, 5]])) == 1
    assert np.isnan(kappa(np.zeros((2, 2), int)))
    assert np.isnan(kappa(np.array([[7, 0], [0, 0]])))


def test_roc_equals_scikit_learn(answers: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    label, _, prob = answers
    curves = {c.name: c for c in roc_curves(label, prob, tuple("abcdef"))}
    truth = label[:, None] == np.arange(6)
    seen = [0, 1, 2, 3, 5]
    for k, name in enumerate("abcdef"):
        assert (
            (curves[name].area == pytest.approx(metrics.roc_auc_score(truth[:, k], prob[:, k])))
            if k in seen
            else np.isnan(curves[name].area)
        )
    assert curves["micro average"].area == pytest.approx(metrics.roc_auc_score(truth.ravel(), prob.ravel()))
    assert curves["macro average"].area == pytest.approx(
        np.mean([metrics.roc_auc_score(truth[:, k], prob[:, k]) for k in seen])
    )
    for name in ("a", "micro average", "macro average"):  # the thinned line still encloses its area
        assert np.trapezoid(curves[name].tpr, curves[name].fpr) == pytest.approx(curves[name].area, abs=0.01)


@pytest.mark.slow
def test_temperature_is_the_one_that_was_used() -> None:
    """Labels drawn from softmax(z / 2.5) make 2.5 the likeliest temperature; torch's own optimizer finds the
    same."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (20_000, 5))
    label = np.array([rng.choice(5, p=p) for p in softmax(logits / 2.5)])
    found = fit_temperature(logits, label)
    assert found == pytest.approx(2.5, rel=0.03)
    t = torch.ones(1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([t], max_iter=60)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.tensor(logits) / t, torch.tensor(label))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert found == pytest.approx(t.item(), rel=1e-3)


def test_reliability_of_a_known_case() -> None:
    r = reliability(np.array([0.05, 0.95, 0.97, 1.0]), np.array([0, 1, 0, 1]), bins=10)
    assert r.count.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert r.accuracy[9] == pytest.approx(2 / 3)
    assert r.confidence[9] == pytest.approx((0.95 + 0.97 + 1) / 3)
    assert np.isnan(r.accuracy[4])


def test_affect_measures_equal_torchmetrics() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(-1, 1, (300, 2))
    answer = 0.5 * truth + rng.normal(0.1, 0.2, truth.shape)
    ours, a, b = affect_measures(answer, truth), torch.tensor(answer), torch.tensor(truth)
    for k in range(2):
        assert ours["rmse"][k] == pytest.approx(float(mean_squared_error(a[:, k], b[:, k], squared=False)))
        assert ours["pearson"][k] == pytest.approx(float(pearson_corrcoef(a[:, k], b[:, k])))
    # torchmetrics divides the variances by n - 1, Lin by n
    assert ours["ccc"] == pytest.approx(concordance_corrcoef(a, b).numpy(), abs=2e-3)
    both = affect_measures(np.array([[0.5, -0.5], [-0.5, 0.5]]), np.array([[0.1, 0.1], [-0.1, 0.1]]))
    assert both["sagr"].tolist() == [1.0, 0.5]
    perfect = affect_measures(truth, truth)
    assert perfect["ccc"].tolist() == pytest.approx([1, 1])
    assert perfect["rmse"].tolist() == [0, 0]
    assert affect_measures(np.zeros((5, 2)), truth[:5])["pearson"].tolist() == [0, 0]


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
    np.testing.assert_allclose(
        attention_statistics(coarse)["border_mass"], attention_statistics(fine)["border_mass"], rtol=1e-6
    )


def test_maps_without_evidence() -> None:
    s = attention_statistics(np.stack([np.zeros((4, 4)), -np.ones((4, 4)), np.full((4, 4), np.nan)]))
    assert all(np.isnan(v).all() for v in s.values())


# -- rendering -----------------------------------------------------------------------------------


def test_normalize() -> None:
    raw = np.array([[[-2.0, 1.0], [4.0, np.nan]]])
    np.testing.assert_allclose(render.normalize(raw), [[[0, 0.25], [1, 0]]])
    np.testing.assert_allclose(render.normalize(raw, 8), [[[0, 0.125], [0.5, 0]]])
    assert (render.normalize(np.zeros((2, 2))) == 0).all()


def test_a_few_bright_pixels_leave_the_rest_visible() -> None:
    fine = np.full((2, 100, 100), -1.0)
    fine[0, :50] = np.linspace(0.01, 1, 5000).reshape(50, 100)
    fine[0, 0, :3] = 1000
    assert render.peak(fine)[0] == pytest.approx(0.99, abs=0.01)
    assert render.peak(fine)[1] == 0
    drawn = render.normalize(fine)
    assert drawn.max() == 1
    assert np.median(drawn[0, :50]) == pytest.approx(0.5, abs=0.02)
    assert (drawn[0, 50:] == 0).all()
    assert (drawn[1] == 0).all()
    assert render.peak(fine[0, :10, :10]) == 1000


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
    assert all(f'id="vt-{name}"' in render.color_filters() for name in render.COLOR_MAPS)


def test_names_do_not_turn_the_line() -> None:
    from dashboard.components.markup import action, display_text
    from explain.export.templating import page
    from explain.formatting import visible_text, without_direction_marks

    assert without_direction_marks("a\u202eb\u2066c") == "a\ufffdb\ufffdc"
    assert without_direction_marks("الخوف שלום") == "الخوف שלום"  # letters of such scripts stay
    assert display_text("<\u202e>") == "&lt;\ufffd&gt;"
    for number in [*range(32), *range(127, 160)]:
        shown = chr(number) if chr(number) in "\t\n\r" else "\ufffd"
        assert visible_text(f"é{chr(number)}") == f"é{shown}"
        assert visible_text(f"e{chr(number)}") == display_text(f"e{chr(number)}") == f"e{shown}"
    assert "\u200f" in action("group", "tag:\u200fשלום")  # what comes back is what was given
    made = page(
        "index.html",
        title="x\u202ey\x1b<",
        description="",
        titles="",
        layer="",
        images=0,
        groups=[],
        sheet="",
        table="",
        predictions="",
        manifest="",
        trust={"parts": [], "note": "", "command": "", "file": ""},
    )
    assert "\u202e" not in made
    assert "x\ufffdy\ufffd&lt;" in made


def test_ordinals() -> None:
    expected = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 13: "13th", 22: "22nd", 112: "112th"}
    assert {number: ordinal(number) for number in expected} == expected
