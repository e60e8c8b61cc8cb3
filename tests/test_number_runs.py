"""Runs of numbers: answers, maps and measures against a plain loop of PyTorch, pytorch-grad-cam, Captum,
scikit-learn and SciPy."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr
from sklearn import metrics
from torch import nn

import vitrine
from explain.analysis.numbers.measures import MEASURES, conclusion, scores_of
from explain.analysis.numbers.text import controls, format_regression
from explain.methods.baseline import baseline
from explain.methods.compute import compute_maps
from explain.methods.live import open_session
from explain.methods.request import MapRequest
from explain.run.engine import run
from explain.run.format import MAPS, MOST_OUTPUTS, SAMPLES, maps_of, part_files, read_request, write_json
from explain.run.outputs.number_rows import mapped_outputs
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.source import Item
from models.errors import Cancelled, UserError
from models.outputs.task import REGRESSION, with_task
from tests.conftest import TINY, TinyNet
from tests.number_source import OUTPUTS, Tinted, answering, inputs, network, opened, plain_numbers


@pytest.fixture
def tinted(tmp_path: Path) -> Tinted:
    return Tinted(tmp_path / "tinted")


@pytest.fixture
def net(tinted: Tinted) -> Classifier:
    return answering(tinted)


def test_a_run_holds_the_numbers(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    found = opened(net, tinted, tmp_path / "run")
    request, plain = found.manifest.request, plain_numbers(net, tinted)
    assert (request.task, request.schema, request.classes) == (REGRESSION, 3, OUTPUTS)
    order = [list(found.table["id"]).index(item.id) for item in tinted.items]
    np.testing.assert_array_equal(found.truth[order], tinted.truth)  # float64, exactly
    np.testing.assert_allclose(found.predicted[order], plain, rtol=1e-4, atol=1e-3)
    assert found.predicted.dtype == found.truth.dtype == np.float64
    rows = pd.read_parquet(tmp_path / "run" / SAMPLES)
    assert not {"prob", "label", "pred", "confidence"} & {*rows}
    residual = np.stack(rows["predicted"]).astype(float) - np.stack(rows["true"])
    np.testing.assert_allclose(rows["loss"], (residual**2).mean(1), rtol=1e-5)
    assert (found.outputs, found.numbers, found.all_labels, found.binary) == (OUTPUTS, True, False, False)
    assert {"id", "error", "brightness", "part", "row"} <= {*found.table}
    assert found.thumbnails([0])[0].startswith(b"\xff\xd8")


def test_measures_are_those_of_scikit_learn(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    found = opened(net, tinted, tmp_path / "run")
    scores = scores_of(found)
    for k in range(3):
        t, p = found.truth[:, k], found.predicted[:, k]
        covariance = np.cov(t, p, bias=True)[0, 1]
        expected = {
            "mae": metrics.mean_absolute_error(t, p),
            "rmse": metrics.root_mean_squared_error(t, p),
            "pearson": pearsonr(t, p).statistic,
            "ccc": 2 * covariance / (t.var() + p.var() + (p.mean() - t.mean()) ** 2),
            "r2": metrics.r2_score(t, p),
            "bias": (p - t).mean(),
        }
        for name in MEASURES:
            assert abs(scores.values[name][k] - expected[name]) < 1e-6 * max(1, abs(expected[name])), name
    assert scores.only(1).names == ("blue",)
    assert scores.only(1).values["mae"] == scores.values["mae"][1]


@pytest.mark.slow
def test_controls_are_those_of_a_plain_loop(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    """Of answering the mean, and of every answer at every image."""
    scores = scores_of(opened(net, tinted, tmp_path / "run"))
    for k in range(3):
        t, p = scores.truth[:, k], scores.predicted[:, k]
        mean = np.full_like(t, t.mean())
        assert scores.of_mean["mae"][k] == pytest.approx(metrics.mean_absolute_error(t, mean))
        assert scores.of_mean["rmse"][k] == pytest.approx(metrics.root_mean_squared_error(t, mean))
        assert (scores.of_mean["r2"][k], scores.of_mean["ccc"][k], scores.of_mean["bias"][k]) == (0, 0, 0)
        pairs = np.array([[a - b for b in t] for a in p])
        assert scores.shuffled["mae"][k] == pytest.approx(np.abs(pairs).mean())
        assert scores.shuffled["rmse"][k] == pytest.approx(np.sqrt((pairs**2).mean()))
        assert scores.shuffled["r2"][k] == pytest.approx(1 - (pairs**2).mean() / t.var())
        rng = np.random.default_rng(k)
        drawn = [metrics.mean_absolute_error(t, rng.permutation(p)) for _ in range(400)]
        assert scores.shuffled["mae"][k] == pytest.approx(np.mean(drawn), rel=0.05)


def test_nothing_is_concluded_where_the_mean_is_as_good(tinted: Tinted, tmp_path: Path) -> None:
    model = network(tinted)
    with torch.no_grad():
        model.head.weight[1] = 0
        model.head.bias[1] = float(tinted.truth[:, 1].mean())
    net = with_task(Classifier("n", model, OUTPUTS, TINY, "", fingerprint(model)), REGRESSION)
    scores = scores_of(opened(net, tinted, tmp_path / "run"))
    assert scores.better_than_mean.tolist() == [True, False, True]
    assert conclusion(scores, 0) == ""
    assert "nothing is concluded" in conclusion(scores, 1)
    text = "\n".join(format_regression(scores))
    assert text.count("answering the mean: MAE") == text.count("answers shuffled: MAE") == 3
    assert controls(scores, 1)[0].startswith("answering the mean: MAE")


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam"])
def test_maps_are_those_of_the_number_of_the_output(
    method: str, net: Classifier, tinted: Tinted, tmp_path: Path
) -> None:
    """Equal to pytorch-grad-cam by hand: `ClassifierOutputTarget` takes the raw number of one output."""
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    run(net, tinted, tmp_path / "run", [method], layer="features.4", batch_size=8)
    found, x = open_run(tmp_path / "run"), inputs(tinted)
    assert isinstance(found, NumbersRun)
    kept = pd.read_parquet(tmp_path / "run" / MAPS)
    assert sorted(zip(kept["id"], kept["class"], strict=True)) == sorted(
        (item.id, k) for item in tinted.items for k in range(3)
    )
    kind = {"grad_cam": GradCAM, "layer_cam": LayerCAM}[method]
    with kind(net.model, [net.model.features[4]]) as cam:
        for i in range(0, len(tinted), 3):
            row = list(found.table["id"]).index(tinted.items[i].id)
            for k in range(3):
                cam(x[i : i + 1], [ClassifierOutputTarget(k)])
                a, g = cam.activations_and_grads.activations[0], cam.activations_and_grads.gradients[0]
                expected = cam.get_cam_image(x[i : i + 1], None, None, a.numpy(), g.numpy(), False)[0]
                ours = found.maps_of(method, k, [row])[0]
                near = 2e-3 * max(1e-6, np.abs(expected).max())
                np.testing.assert_allclose(np.maximum(ours, 0), np.maximum(expected, 0), atol=near)


def test_raw_scores_of_one_output(tmp_path: Path) -> None:
    """With one output, `RawScoresOutputTarget` of pytorch-grad-cam is its number."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget

    torch.manual_seed(0)
    model = TinyNet(1).eval()
    net = vitrine.wrap(model, ["age"], TINY, task="regression")
    x = torch.rand(1, 3, 32, 32)
    with GradCAM(model, [model.features[4]]) as cam:
        cam(x, [RawScoresOutputTarget()])
        a, g = cam.activations_and_grads.activations[0], cam.activations_and_grads.gradients[0]
        expected = cam.get_cam_image(x, None, None, a.numpy(), g.numpy(), False)[0]
    ours = compute_maps(net.model, x, MapRequest("grad_cam", "features.4")).raw
    np.testing.assert_allclose(np.maximum(ours, 0), np.maximum(expected, 0), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Input Tensor", "ignore:Setting")  # Captum's own, by hand
@pytest.mark.parametrize("output", [0, 2])
def test_attributions_are_captums_and_complete(output: int, net: Classifier, tinted: Tinted) -> None:
    """And sum to how much the output's number exceeds that of the baseline."""
    import captum.attr as reference

    x, own = inputs(tinted)[:2], network(tinted)
    for module in own.modules():  # Captum wants no activation in place
        if isinstance(module, nn.ReLU):
            module.inplace = False
    mean = baseline(x, "mean")
    by_hand = {
        "input_x_gradient": reference.InputXGradient(own).attribute(x, output),
        "integrated_gradients": reference.IntegratedGradients(own).attribute(x, mean, output),
        "deep_lift": reference.DeepLift(own).attribute(x, mean, output),
    }
    with torch.no_grad():
        exceeds = (own(x) - own(mean))[:, output]
    for method, expected in by_hand.items():
        made = compute_maps(net.model, x.detach(), MapRequest(method, target=output))
        near = 1e-4 * float(expected.abs().max())
        torch.testing.assert_close(made.maps, expected.sum(1).detach().float(), atol=near, rtol=1e-3)
        if made.expected_sums is not None:
            torch.testing.assert_close(made.expected_sums, exceeds, atol=1e-3, rtol=1e-4)
    exact = compute_maps(net.model, x.detach(), MapRequest("deep_lift", target=output))
    torch.testing.assert_close(exact.maps.sum((1, 2)), exceeds, atol=1e-2, rtol=1e-3)


def test_the_target_is_an_output_by_name(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    session = open_session(net, tinted.load(0))
    assert session.numbers
    assert session.pred == 0  # the first, not the largest
    assert session.answer(1) == f"{plain_numbers(net, tinted)[0, 1]:.4g}"
    found = vitrine.explain(net, tinted.load(0), methods="grad_cam", target="blue")
    assert found.results["grad_cam"].target == 1
    assert found.are_numbers
    assert found.predicted.startswith("red 0.")
    assert "%" not in found._repr_html_().partition("figcaption")[2].partition("<")[0]
    session_map = session.map(MapRequest("grad_cam"))
    assert session_map.target == 0
    with pytest.raises(UserError, match="No class 'pink'"):
        vitrine.explain(net, tinted.load(0), target="pink")


def test_most_outputs_of_an_image() -> None:
    """At most eight, those with the largest residual in units of the data's own spread."""
    assert MOST_OUTPUTS == 8
    predicted, truth = np.zeros((1, 10)), np.arange(10, 0, -1.0)[None]
    assert mapped_outputs(predicted, truth, np.ones(10)) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    spread = np.ones(10)
    spread[:2], truth[0, 8:] = 100, 1
    assert mapped_outputs(predicted, truth, spread) == [[2, 3, 4, 5, 6, 7, 8, 9]]
    assert mapped_outputs(predicted[:, :3], truth[:, :3], spread[:3]) == [[0, 1, 2]]


def test_a_run_of_many_outputs_keeps_eight_maps(tinted: Tinted, tmp_path: Path) -> None:
    rng, names = np.random.default_rng(0), tuple(f"y{k}" for k in range(10))
    tinted.classes = names
    tinted.items = [Item.of_numbers(item.id, rng.normal(size=10)) for item in tinted.items]
    torch.manual_seed(0)
    model = TinyNet(10).eval()
    net = with_task(Classifier("n", model, names, TINY, "", fingerprint(model)), REGRESSION)
    found = opened(net, tinted, tmp_path / "run")
    kept = pd.read_parquet(tmp_path / "run" / MAPS)
    assert kept.groupby("id").size().tolist() == [8] * len(tinted)
    z = np.abs(found.predicted - found.truth) / found.truth.std(0)
    least = z.argmin(1)
    for row in range(len(found.table)):
        assert np.isnan(found.maps_of("grad_cam", int(least[row]), [row])).all()
        assert found.output(int(least[row])).no_map(row, "pred").startswith("no map: the run keeps")
        assert np.isfinite(found.maps_of("grad_cam", int(z[row].argmax()), [row])).all()


@pytest.mark.slow
def test_one_output_of_a_run(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    whole = opened(net, tinted, tmp_path / "run")
    one = open_run(tmp_path / "run", label="Blue")
    assert isinstance(one, NumbersRun)
    assert (one.index, one.one_output, whole.one_output) == (1, True, False)
    np.testing.assert_array_equal(one.maps("grad_cam", "pred", [0, 3]), whole.maps_of("grad_cam", 1, [0, 3]))
    assert np.isfinite(one.statistic("grad_cam", "spread", 1)).any()
    with pytest.raises(UserError, match=r"No output 'pink': the run has red, blue, light\."):
        open_run(tmp_path / "run", label="pink")
    with pytest.raises(UserError, match="The report takes runs of one class per image; the outputs of"):
        whole.require_one_class("The report")


@pytest.mark.slow
def test_a_stopped_run_goes_on(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    run(net, tinted, whole, ["grad_cam"], batch_size=4, part_rows=8)
    with pytest.raises(Cancelled):
        run(net, tinted, halves, ["grad_cam"], batch_size=4, part_rows=8, stop=lambda: True)
    assert len(part_files(halves)) == 1
    run(net, tinted, halves, ["grad_cam"], batch_size=4, part_rows=8)
    for folder in (SAMPLES, MAPS):
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(f / folder).drop(columns="thumbnail", errors="ignore") for f in (whole, halves))
        )


def test_changed_numbers_are_another_run(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    run(net, tinted, tmp_path / "run", ["grad_cam"])
    before = tinted.fingerprint()
    tinted.items[0] = Item.of_numbers("0.png", (1 / 3, 2, 3))
    assert tinted.fingerprint() != before
    with pytest.raises(UserError, match="1 label changed"):
        run(net, tinted, tmp_path / "run", ["grad_cam"])


@pytest.mark.slow
def test_what_is_damaged_or_unreadable(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    (Path(tinted.root) / "5.png").write_bytes(b"no picture")
    out, said = tmp_path / "run", list[str]()
    manifest = run(net, tinted, out, ["grad_cam"], part_rows=8, batch_size=8)
    assert manifest.counts == {"ok": 23, "failed": 1}
    found = open_run(out)
    assert isinstance(found, NumbersRun)
    row = list(found.table["id"]).index("5.png")
    assert np.isnan(found.predicted[row]).all()
    np.testing.assert_array_equal(found.truth[row], tinted.truth[5])
    assert (scores_of(found).images, scores_of(found).left_out) == (23, 1)
    assert len(found.ok) == 23
    maps_of(part_files(out)[1]).unlink()
    assert open_run(out).damaged == 1
    run(net, tinted, out, ["grad_cam"], part_rows=8, batch_size=8, say=said.append)
    assert "1 of the run's files were damaged" in said[0]
    assert open_run(out).damaged == 0
    part = part_files(out)[0]
    pd.read_parquet(part).assign(true=[[1.0]] * 7).to_parquet(part)
    assert open_run(out).damaged == 1


class Holes(TinyNet):
    """NaN for dark pictures."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dark = x.mean((1, 2, 3)) < 0
        return torch.where(dark[:, None], torch.nan, super().forward(x))


def test_answers_that_are_no_numbers(tinted: Tinted, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Holes(3).eval()
    with torch.inference_mode():
        bad = model(inputs(tinted)).isnan().any(1).numpy()
    assert 0 < bad.sum() < len(tinted)
    net = Classifier("n", model, OUTPUTS, TINY, "", fingerprint(model))
    found = opened(with_task(net, REGRESSION), tinted, tmp_path / "run")
    assert found.manifest.counts == {"ok": int((~bad).sum()), "failed": int(bad.sum())}
    order = [list(found.table["id"]).index(item.id) for item in tinted.items]
    np.testing.assert_array_equal(np.isnan(found.predicted[order]).all(1), bad)
    assert set(found.table["error"].dropna()) == {"the network answered NaN"}
    assert np.isfinite(found.truth).all()


def test_a_newer_format_is_refused(net: Classifier, tinted: Tinted, tmp_path: Path) -> None:
    """As an earlier version refuses format 3."""
    opened(net, tinted, tmp_path / "run")
    raw = json.loads((tmp_path / "run" / "request.json").read_text())
    write_json(tmp_path / "run" / "request.json", raw | {"schema": 4})
    with pytest.raises(UserError, match="has format 4, this Vitrine reads 1 and 2 and 3"):
        open_run(tmp_path / "run")
    write_json(tmp_path / "run" / "request.json", raw | {"schema": 2})
    with pytest.raises(UserError, match="names task 'regression'"):
        read_request(tmp_path / "run")


@pytest.mark.slow
def test_a_folder_of_another_task_is_named(
    net: Classifier, tinted: Tinted, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    out, classes = tmp_path / "run", FolderSource(pictures)
    run(tiny, classes, out, ["grad_cam"])
    with pytest.raises(UserError, match=r"the task \(single-label, now regression\)"):
        run(net, tinted, out, ["grad_cam"])
    run(net, tinted, out, ["grad_cam"], restart=True)
    assert isinstance(open_run(out), NumbersRun)
    with pytest.raises(UserError, match=r"the task \(regression, now single-label\)"):
        run(tiny, classes, out, ["grad_cam"])
    run(tiny, classes, out, ["grad_cam"], restart=True)
    assert open_run(out).classes == tiny.classes
