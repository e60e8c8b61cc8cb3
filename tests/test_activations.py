"""What channels make of an image, and the Layers tab's parts."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from dashboard.components.network.layer_view import channel_alone, channel_sheet, layer_table
from dashboard.tabs.layers_state import LayersView
from explain import render
from explain.features.activations import ORDERS, Activations, activations, order, scaled
from explain.network.hooks import capture, output_of
from explain.network.summary import layers
from models.classifier import Classifier
from models.errors import UserError
from tests.test_capture import assert_as_found, snapshot

VIEW = LayersView()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_pass_ends_at_the_layer(tiny: Classifier, x: torch.Tensor) -> None:
    expected = capture(tiny.model, x, "features.1").activation[0].numpy()

    def unreachable(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("ran on")

    tiny.model.features[4].forward = unreachable  # type: ignore[index,operator,union-attr]
    before = snapshot(tiny.model, x)
    np.testing.assert_allclose(
        activations(tiny.model, x, "features.1", 1).values, expected, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(AssertionError, match="ran on"):
        activations(tiny.model, x, "features.4", 1)
    assert_as_found(before, tiny.model, x)


@pytest.mark.slow
def test_a_layer_that_runs_several_times_is_the_last(x: torch.Tensor) -> None:
    from torchvision.models import resnet50

    from explain.features.projection import projections

    torch.manual_seed(0)
    model = resnet50(num_classes=3).eval()
    table = {layer.name: layer for layer in layers(model, x)}
    assert (table["layer1.0.relu"].runs, table["layer1.0.conv1"].runs) == (3, 1)
    found = activations(model, x, "layer1.0.relu")
    assert found.values.shape == table["layer1.0.relu"].shape == (256, 8, 8)
    np.testing.assert_array_equal(found.values, activations(model, x, "layer1.0.relu", 3).values)
    np.testing.assert_allclose(found.values, activations(model, x, "layer1.0").values, rtol=1e-5)
    assert projections(model, x, found, 200)["deconvnet"].shape == (3, 32, 32)


def test_what_a_layer_in_front_of_one_in_place_puts_out(x: torch.Tensor) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    with torch.no_grad():
        torch.testing.assert_close(output_of(model, x, "0")[0], model[0](x))
        assert not activations(model, x, "4").spatial
        np.testing.assert_allclose(activations(model, x, "4").values, model(x)[0].numpy(), rtol=1e-5)
    with pytest.raises(UserError, match="No layer '9'"):
        activations(model, x, "9")
    model.idle = nn.ReLU()
    model.forward = lambda x: nn.Sequential.forward(model[:5], x)  # type: ignore[method-assign]
    with pytest.raises(UserError, match="did not run"):
        activations(model, x, "idle")


def test_orders(tiny: Classifier, x: torch.Tensor) -> None:
    found = activations(tiny.model, x, "features.4")
    weights = capture(tiny.model, x, "features.4").gradient(torch.tensor([2])).mean((2, 3))[0].numpy()
    for by, key in zip(
        ORDERS,
        (-np.arange(len(found.values)), found.values.mean((1, 2)), found.values.max((1, 2)), weights),
        strict=True,
    ):
        assert np.array_equal(order(tiny.model, x, found, by, 2), np.argsort(-key, kind="stable")), by


def test_scales() -> None:
    values = np.random.default_rng(0).normal(3, 2, (3, 50, 50)).astype(np.float32)
    values[1] = 0
    values[2] = np.nan
    each = scaled(values, "each channel", (0, 1))
    assert each[0].mean() == pytest.approx(0.5, abs=0.01)
    assert each[0].std() == pytest.approx(0.25, abs=0.01)
    assert (each[1:] == 0.5).all()
    whole = scaled(values[:1], "one scale", (-10.0, 20.0))
    np.testing.assert_allclose(whole, (values[:1] + 10) / 30, rtol=1e-5)
    assert (scaled(values[1:2], "one scale", (0, 0)) == 0).all()


def test_sheet_holds_every_map() -> None:
    import base64
    import io

    from PIL import Image

    maps = np.random.default_rng(0).random((5, 6, 7))
    sheet = Image.open(io.BytesIO(base64.b64decode(render.sheet_png(maps, 3, "grey").split(",")[1])))
    assert sheet.size == (21, 12)
    grey = np.asarray(sheet.convert("L")) / 255
    for n in range(5):
        np.testing.assert_allclose(grey[n // 3 * 6 :, n % 3 * 7 :][:6, :7], maps[n], atol=1 / 255)
    large = Image.open(
        io.BytesIO(base64.b64decode(render.sheet_png(np.zeros((1, 500, 400)), 1, "viridis").split(",")[1]))
    )
    assert max(large.size) <= 112


def test_parts_of_the_tab(tiny: Classifier, x: torch.Tensor) -> None:
    from PIL import Image

    table, picture = layers(tiny.model, x), Image.new("RGB", (32, 32))
    page = layer_table(table, "features.1")
    assert page.count('data-action="layer"') == len(
        [layer for layer in table if layer.shape and not layer.is_passthrough]
    )
    assert page.count("vt-on") == 1
    by_name = {layer.name: layer for layer in table}
    found = activations(tiny.model, x, "features.4")
    found.values[3] = 0
    sheet = channel_sheet(found, asdict(replace(VIEW, channel=2)), np.arange(len(found.values)), "<conv>")
    assert sheet.count('data-action="channel"') == len(found.values)
    assert "&lt;conv&gt;" in sheet
    assert "channel 3, zero everywhere" in sheet
    assert "zero everywhere on this image" in channel_alone(
        found, 3, by_name["features.4"], picture, (32, 32), "grey"
    )
    assert "vt-box" in channel_alone(found, 2, by_name["features.4"], picture, (32, 32), "grey")
    assert "Click a channel" in channel_alone(found, 999, by_name["features.4"], picture, (32, 32), "grey")
    many = Activations("a", np.ones((2048, 2, 2), np.float32))
    assert (
        channel_sheet(many, asdict(replace(VIEW, page=99)), np.arange(2048), "").count(
            'data-action="channel"'
        )
        == 64
    )
    assert "no spatial positions" in channel_sheet(
        activations(tiny.model, x, "head"), asdict(VIEW), np.arange(3), "preds"
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("layer", "features.4", {"layer": "features.4", "page": 0, "channel": None}),
        ("order", "mean", {"order": "mean", "page": 0}),
        ("order", "nonsense", {}),
        ("scale", "one scale", {"scale": "one scale"}),
        ("colors", "grey", {"colors": "grey"}),
        ("page", "3", {"page": 3}),
        ("page", "-3", {}),
        ("channel", "7", {"channel": 7}),
        ("subject", "x", {}),
    ],
)
def test_clicks(name: str, value: str, text: dict[str, object]) -> None:
    view = replace(VIEW, page=5, channel=1)
    assert view.apply(name, value) == replace(view, **text)  # type: ignore[arg-type]


def test_a_picture_smaller_than_the_input(tiny: Classifier) -> None:
    """It is enlarged as the network's preprocessing says; layers, channels and curves are those of the
    input's size."""
    from PIL import Image

    from explain.features.depth import block_outputs, depth
    from explain.methods.live import open_session

    session = open_session(tiny, Image.new("L", (3, 5), 90))
    table = layers(tiny.model, session.x)
    assert {layer.name: layer.shape for layer in table}["features.4"] == (12, 8, 8)
    assert activations(tiny.model, session.x, "features.4").values.shape == (12, 8, 8)
    assert depth(tiny.model, session.x, block_outputs(table))["features.4"].shape == (1, 5)
