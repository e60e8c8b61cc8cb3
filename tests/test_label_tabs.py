"""Layers, Filters, Inversion and Gaze of a run of several labels per image: the label that is asked for, its
logit and its sigmoid, against plain PyTorch and scikit-learn."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

from dashboard.components.network.inversion_view import edits, over_depth, row_of_layers
from dashboard.session.context import Context
from dashboard.tabs import filters, layers
from dashboard.tabs.errors_state import first_view
from dashboard.tabs.filters_state import CLASSES, FiltersView
from dashboard.tabs.label_link import label_of_errors
from dashboard.tabs.layers_state import LayersView, from_query
from explain.features.activation_maximization import Settings
from explain.features.depth import FOLDS, label_separability
from explain.features.top_activations import curves, stored_counts, strongest, top_activations
from explain.features.visualization_cache import VisualizationCache, maximized
from explain.gaze.network import positive, whole_picture
from explain.inversion.measure import _called
from explain.inversion.rebuild import Rebuilt, described
from explain.methods.live import MapRequest, open_session
from explain.run.engine import run
from explain.run.reader import open_run
from models.classifier import Classifier
from models.outputs.task import SINGLE
from tests.test_label_sets import NAMES, Patches, answering


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "patches").mkdir()
    net = answering()
    run(net, Patches(tmp_path / "patches", 30), tmp_path / "run", ["grad_cam"], batch_size=8)
    return Context(open_run(tmp_path / "run", "green"), network=net)


def errors_of(ctx: Context, asked: int) -> dict[str, Any]:
    return asdict(first_view(ctx.findings_of(asked).run, asked))


def test_the_label_of_errors_is_asked_for(ctx: Context) -> None:
    assert label_of_errors(errors_of(ctx, 2), ctx.run) == 2
    assert ctx.asked == 1


def test_channels_are_ordered_by_the_logit_of_the_label(ctx: Context) -> None:
    pieces = layers.Pieces(ctx)
    view = LayersView({"row": 3}, "features.4", order="weight towards the class")
    with ctx.classifier() as c:
        x = ctx.sessions.at({"row": 3}).x
        orders = []
        for label in range(4):
            features = c.model.features(x).detach().requires_grad_()
            logits = c.model.head(features.mean((2, 3)))
            (gradient,) = torch.autograd.grad(logits[0, label], features)
            orders.append(np.argsort(-gradient.mean((2, 3))[0].numpy(), kind="stable").tolist())
    assert len({tuple(o) for o in orders}) > 1
    for label in range(4):
        _, (_, sheet, _, depth) = pieces.of(view, label)
        found = [int(part.split('"')[0]) for part in sheet.split('data-action="channel" data-value="')[1:]]
        assert found == orders[label][: len(found)]
        assert "weight towards the label" in sheet
        assert f'<option value="{label}" selected>{NAMES[label]}</option>' in sheet
        assert f"label={NAMES[label]}" in sheet
        assert f"Separability of {NAMES[label]}" in depth
        assert "needs images with the label and without" in depth


def test_a_link_of_layers_has_its_label(ctx: Context) -> None:
    view = LayersView({"row": 2}, "features.0").apply("label", "3")
    assert view.label == 3
    assert "label=grey" in view.query(ctx.run)
    assert from_query({"tab": "layers"}, ctx.run, LayersView()).label == -1


@pytest.mark.slow
def test_the_pass_over_the_run_tells_every_label_apart(ctx: Context) -> None:
    with ctx.classifier() as c:
        assert list(top_activations(c, ctx.run))[-1] == 1
        picture = {name: Image.open(Path(ctx.run.manifest.data_root) / name) for name in ctx.run.table["id"]}
        with torch.no_grad():
            features = torch.cat(
                [c.model.features(c.batch([p])).mean((2, 3)) for p in picture.values()]
            ).numpy()
    assert stored_counts(ctx.run) == {"images": 30, "pooled": 30, "moved": 30}
    found = strongest(ctx.run, "features.4", 0)
    assert len(found) == 9
    truth = ctx.run.label_sets.truth
    expected = label_separability(features, truth)
    by_label = [{s.layer: s for s in curves(ctx.run, k)} for k in range(4)]
    layer = [name for name in by_label[0] if name.startswith("features")][-1]
    for k in range(4):
        assert by_label[k][layer].separable == pytest.approx(expected[k, 0], abs=1e-6)
        assert by_label[k][layer].shuffled == pytest.approx(expected[k, 1], abs=1e-6)
    mean = {s.layer: s for s in curves(ctx.run)}[layer]
    assert mean.separable == pytest.approx(expected[:, 0].mean())
    _, (_, _, channel, depth) = layers.Pieces(ctx).of(LayersView({"row": 3}, "features.4", channel=0), 2)
    names = ctx.run.table.loc[found["at"], "labels"]
    assert all(f"{name or 'no label'}</figcaption>" in channel for name in names)
    assert "average precision of the nearest class mean" in depth


def test_separability_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((50, 3)) < [0.3, 0.5, 0.0]
    features = rng.normal(size=(50, 4)) + truth[:, :1] * 1.5
    found = label_separability(features, truth)
    again = np.random.default_rng(0)
    fold = np.argsort(again.permutation(50)) % FOLDS
    for k in range(2):
        score = np.zeros(50)
        for i in range(50):
            rest = fold != fold[i]
            with_it, without = (features[rest & (truth[:, k] == t)].mean(0) for t in (True, False))
            score[i] = ((features[i] - without) ** 2).sum() - ((features[i] - with_it) ** 2).sum()
        assert found[k, 0] == pytest.approx(average_precision_score(truth[:, k], score))
    assert np.isnan(found[2]).all()
    assert found[0, 0] > found[0, 1] + 0.2


def test_the_logit_of_a_label_is_maximized(ctx: Context) -> None:
    form = (CLASSES, 16, 0, 64, 0, [2])
    pieces = filters.Pieces(ctx)
    _, units = pieces.requested(FiltersView(), form)
    assert units.names == ["blue"]
    assert units.description.startswith("labels, ")
    with ctx.classifier() as c:
        *_, made = maximized(c, [2], Settings(steps=2))
        assert made.units == (2,)
        pixels = torch.tensor(made.pictures).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            logit = float(c.model((pixels - 0.5) / 0.5)[0, 2])
        assert made.answers[0] == pytest.approx(logit, abs=0.05)
        plain = Classifier(**{**vars(c), "model": type(c.model).__mro__[1](4), "task": SINGLE})
        assert VisualizationCache(c, Settings()).known([2]) is None
        settings = Settings(steps=2)
        assert VisualizationCache(c, settings)._folder != VisualizationCache(plain, settings)._folder
    text = "".join(pieces.of(FiltersView(class_index=2), form))
    assert "Feature visualization" in text


def test_a_reconstruction_is_said_with_sigmoids(ctx: Context) -> None:
    with ctx.classifier() as c:
        x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        made = described(c, x, x, "features.4", 1.0)
        with torch.no_grad():
            p = c.model(x).sigmoid()[0].numpy()
            called = c.model(x) >= 0
            assert _called(c, x).tolist() == called.tolist()
    assert made.labels is not None
    np.testing.assert_allclose(made.labels, p, atol=1e-6)
    picture = np.zeros((8, 8, 3), np.uint8)
    one = Rebuilt("deep", picture, 0.2, 0, 0.9, np.array([0.9, 0.2, 0.6, 0.1]))
    none = Rebuilt("shallow", picture, 0.2, 0, 0.3, np.array([0.3, 0.2, 0.2, 0.1]))
    text = row_of_layers(picture, "red and blue", [one, none], NAMES, "deep", "T", asked=3)
    assert 'called: <b class="vt-ok">red and blue</b> (red .90, blue .60, grey .10)<' in text
    assert 'called: <b class="vt-bad">no label</b> (grey .10) (changed)<' in text
    assert "predicted" not in text
    assert "error .20 · red .90, blue .60" in edits("deep", {"as it is": one}, NAMES)


def test_what_was_measured_of_one_class_is_not_said_of_labels() -> None:
    measured = dict.fromkeys(("error", "other", "mean", "mse", "psnr", "ssim", "same"), 0.5)
    about = [{"layer": "a", "metrics": {"measured": measured | {"on": "d", "images": 3}}}]
    assert "same class" in over_depth(about)
    text = over_depth(about, of_labels=True)
    assert "same class" not in text
    assert "how often the labels stay the same was not measured" in text
    about[0]["metrics"]["measured"]["task"] = "multi-label"  # type: ignore[index]
    assert "exactly the same labels" in over_depth(about, of_labels=True)


@pytest.mark.slow
def test_gaze_compares_the_map_of_the_label(ctx: Context) -> None:
    if ctx.gaze_service.checkpoint is None:
        pytest.skip("no gaze model is installed")
    picture = ctx.subjects.picture({"row": 0})
    for label in range(4):
        found = ctx.gaze_service.at(picture, label)
        with ctx.classifier() as c:
            session = open_session(whole_picture(c), picture)
            expected = positive(session.map(MapRequest("grad_cam", target=label)).raw)
        np.testing.assert_allclose(found.cam, expected, atol=1e-6)
        assert (found.called, found.prob) == (NAMES[label], pytest.approx(float(session.prob[label])))
