"""Gaze and Inversion of a run of numbers: maps and answers of the chosen output, against plain PyTorch."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dashboard.components.network.inversion_view import edits, over_depth, row_of_layers
from dashboard.session.context import Context
from dashboard.session.gaze_service import GazeService
from dashboard.tabs.gaze import GazeTab, without_fixations
from dashboard.tabs.gaze_state import GazeView
from dashboard.tabs.inversion import InversionTab
from dashboard.tabs.inversion_state import InversionView
from dashboard.tabs.numbers_state import first_view
from explain.analysis.on_maps import said_of
from explain.gaze.network import NetworkMaps, positive, whole_picture
from explain.inversion.measure import format_text, measure
from explain.inversion.rebuild import Rebuilt, described, format_numbers, rebuild
from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.network.target_layers import default_layer
from explain.run.answer import noise
from explain.run.outputs.number_run import NumbersRun
from models.classifier import Classifier
from models.gaze.gaze_set import Viewed
from tests.number_source import OUTPUTS, Tinted, answering, opened


@pytest.fixture(scope="module")
def tinted(tmp_path_factory: pytest.TempPathFactory) -> Tinted:
    return Tinted(tmp_path_factory.mktemp("tabs") / "tinted", 8)


@pytest.fixture(scope="module")
def net(tinted: Tinted) -> Classifier:
    return answering(tinted)


@pytest.fixture
def ctx(net: Classifier, tinted: Tinted, tmp_path: Path) -> Context:
    return Context(opened(net, tinted, tmp_path / "run"), network=net)


class Density:
    """A gaze model that looks at the left."""

    def maps(self, pictures: list[Any]) -> np.ndarray:
        found = np.zeros((len(pictures), 8, 8), np.float32)
        found[:, :, :2] = 1 / 16
        return found


@pytest.fixture
def gaze(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> GazeTab:
    monkeypatch.setattr(GazeService, "model", lambda self: Density())
    tab = GazeTab.__new__(GazeTab)
    tab._ctx, tab._service = ctx, ctx.gaze_service
    return tab


def test_gaze_compares_the_map_of_the_chosen_output(gaze: GazeTab, ctx: Context, net: Classifier) -> None:
    picture, errors = ctx.subjects.picture({"row": 2}), asdict(first_view(ctx.run))  # type: ignore[arg-type]
    whole = whole_picture(net)
    x = whole.batch([picture])
    for k, name in enumerate(OUTPUTS):
        found = ctx.gaze_service.at(picture, k)
        raw = compute_maps(net.model, x, MapRequest("grad_cam", net.default_layer or "", k)).raw
        np.testing.assert_allclose(found.cam, np.maximum(raw, 0), atol=1e-6)
        with torch.no_grad():
            number = float(net.model(x)[0, k])
        assert (found.called, found.prob) == (name, pytest.approx(number, rel=1e-4))
        assert found.answer == f"{number:.4g}"
        keys = asdict(GazeView(subject={"row": 2}))
        event: Any = SimpleNamespace(index="output", value=str(k))
        view, panel, _ = GazeTab.act.__wrapped__(gaze, keys, errors, event)  # type: ignore[attr-defined]
        assert view["output"] == k
        assert f"for {name}" in panel
        assert f'<option value="{k}" selected>{name}</option>' in panel
        assert f"evidence for a larger number; maps: {said_of(ctx.run.output(k), 'grad_cam')}" in panel
        assert ("no positive evidence" in panel) == (not (raw > 0).any())
        assert "CC nan" not in panel
    other = asdict(first_view(ctx.run).apply("output", "2", ctx.run))  # type: ignore[arg-type]
    assert "for light" in gaze.pick({"row": 1}, asdict(GazeView()), other)[1]  # that of Errors
    assert 'data-action="output"' not in without_fixations(found, "t", of_numbers=True)


def test_gaze_shows_the_map_at_the_layer_of_the_run(gaze: GazeTab, ctx: Context, net: Classifier) -> None:
    picture, other = ctx.subjects.picture({"row": 2}), "features.0"  # type: ignore[arg-type]
    assert net.default_layer != other
    manifest = ctx.run.manifest
    run = replace(ctx.run, manifest=replace(manifest, request=replace(manifest.request, layer=other)))
    found = GazeService(run, ctx.classifier).at(picture, 0)
    x = whole_picture(net).batch([picture])
    raw = compute_maps(net.model, x, MapRequest("grad_cam", other, 0)).raw
    np.testing.assert_allclose(found.cam, np.maximum(raw, 0), atol=1e-6)


def test_a_network_of_numbers_is_compared_with_people(net: Classifier, tinted: Tinted) -> None:
    images = [
        Viewed(item.id, Path(tinted.root) / item.id, (40, 48), np.ones(2), np.ones(2), np.zeros(2))
        for item in tinted.items[:3]
    ]
    maps = NetworkMaps(net, ["grad_cam"], target=2)
    about = {"network": net.name, "weights_hash": net.weights_hash, "output": "light"}
    assert maps.about == about | {"layer": default_layer(net.model, noise(net))}
    network, shuffled = maps.sources()
    assert (network.title, shuffled.title) == (
        "Grad-CAM for light",
        "Grad-CAM for light of other pictures",
    )
    x = whole_picture(net).batch([image.load() for image in images])
    expected = compute_maps(net.model, x, MapRequest("grad_cam", net.default_layer or "", 2)).maps.numpy()
    for k, answer in enumerate(network.answers(images)):
        assert answer is not None
        np.testing.assert_allclose(answer[0], positive(expected[k]), atol=1e-6)


def test_a_reconstruction_is_said_with_numbers(net: Classifier) -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        after = net.model(x).numpy()[1]
    made = described(net, x[:1], x[1:], "features.4", 1.0)
    assert made.numbers is not None
    np.testing.assert_allclose(made.numbers, after, atol=1e-5)
    assert made.labels is None
    assert format_numbers(made.numbers, OUTPUTS) == ", ".join(
        f"{name} {value:.4g}" for name, value in zip(OUTPUTS, after, strict=True)
    )
    picture = np.zeros((8, 8, 3), np.uint8)
    one = Rebuilt("deep", picture, 0.2, 0, float("nan"), numbers=np.array([0.5, 2.0, 120.0]))
    given = np.array([0.25, -2.0, 100.0])
    text = row_of_layers(picture, "p", [one], OUTPUTS, "deep", "T", before=given)
    assert "error .20 · <b>red 0.25 → 0.5, blue −2 → 2, light 100 → 120</b>" in text
    assert "predicted" not in text
    assert "nan" not in text
    assert "red 0.25 → 0.5" in edits("deep", {"as it is": one}, OUTPUTS, before=given)
    many = tuple(f"o{k}" for k in range(9))
    nine = Rebuilt("deep", picture, 0.2, 0, float("nan"), numbers=np.arange(9.0))
    shown = row_of_layers(picture, "p", [nine], many, "deep", "T", asked=7, before=np.arange(9.0))
    assert [f"{name} " in shown for name in many] == [k < 4 or k == 7 for k in range(9)]


def test_the_tab_shows_numbers_before_and_after(ctx: Context, net: Classifier) -> None:
    tab = InversionTab.__new__(InversionTab)
    subject: Any = {"row": 3}
    x = ctx.decoder_service.input(net, subject)
    layer = net.default_layer or ""
    stub: Any = SimpleNamespace(layer=layer, scale=1.0, pictures=lambda features: x * 0.5)
    decoders: Any = SimpleNamespace(layers=[layer], every_layer=lambda _: [rebuild(net, x, stub)])
    tab._ctx, tab._decoders = ctx, decoders
    view, row, _ = tab.pick(subject, asdict(InversionView()), asdict(first_view(ctx.run)))  # type: ignore[arg-type]
    assert view["layer"] == layer
    with torch.no_grad():
        (before,), (after,) = net.model(x).tolist(), net.model(x * 0.5).tolist()
    for name, first, last in zip(OUTPUTS, before, after, strict=True):
        assert f"{name} {first:.4g} → {last:.4g}".replace("-", "−") in row
    assert "nan" not in row


def test_how_often_a_class_stays_is_not_measured_of_numbers(net: Classifier, tinted: Tinted) -> None:
    stub: Any = SimpleNamespace(
        layer=net.default_layer, pictures=lambda features: torch.zeros(len(features), 3, 32, 32)
    )
    *_, (fraction, table) = measure(net, [stub], tinted, 8)
    assert fraction == 1
    assert table["same"].isna().all()
    assert table["error"].iloc[0] > 0
    assert "nan" not in "\n".join(format_text(table))
    measured = table.iloc[0].drop("same").to_dict() | {"on": "d", "images": 8}
    text = over_depth([{"layer": "a", "metrics": {"measured": measured}}], of_numbers=True)
    assert "same class" not in text
    assert "Error" in text


def test_runs_of_numbers_are_of_this_kind(ctx: Context) -> None:
    assert isinstance(ctx.run, NumbersRun)
