"""Stages: which layers they are, that their maps are put together, and that they are the default."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vitrine
from dashboard.components.header import header
from explain.methods.compute import compute_maps
from explain.methods.live import open_session
from explain.methods.registry import defaults
from explain.methods.request import MapRequest
from explain.network.stages import STAGES, stage_layers
from explain.quality.plan import measurements
from explain.run.engine import run
from explain.run.reader import open_run
from explain.run.rows import SIDE, kept
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.registry import load
from tests.command import run_command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", "layer1 layer2 layer3 layer4"),
        ("mobilenet_v2", "features.4.conv.0 features.7.conv.0 features.14.conv.0 features"),
        ("squeezenet1_1", "features.4 features.7 classifier.2"),
        ("shufflenet_v2_x0_5", "stage2.0.branch2.2 stage3.0.branch2.2 stage4.0.branch2.2 conv5"),
        ("efficientnet_b0", "features.3.0.block.0 features.4.0.block.0 features.6.0.block.0 features"),
        ("timm:vit_tiny_patch16_224", "blocks.0.norm1 blocks.4.norm1 blocks.7.norm1 blocks.11.norm1"),
    ],
)
def test_the_last_layer_of_each_resolution_behind_an_activation(name: str, layers: str) -> None:
    torch.manual_seed(0)
    if name.startswith("timm:"):
        import timm

        model, side = timm.create_model(name[5:]).eval(), 224
    else:
        import torchvision

        model, side = getattr(torchvision.models, name)().eval(), 96
    assert stage_layers(model, torch.zeros(1, 3, side, side)) == tuple(layers.split())


class TwoWays(nn.Module):
    """The middle resolution is computed and not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 4, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.third, self.head = nn.Conv2d(4, 4, 3, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        early = self.first(x).relu()
        self.second(early)
        return self.head(self.third(early).relu().mean((2, 3)))


def test_layers_that_no_gradient_reaches_are_left_out() -> None:
    torch.manual_seed(0)
    assert stage_layers(TwoWays().eval(), torch.zeros(1, 3, 64, 64)) == ("first", "third")


def by_hand(model: nn.Module, x: Tensor, layers: tuple[str, ...], target: int) -> Tensor:
    """Each stage's LayerCAM divided by its largest magnitude, enlarged to the finest, and their mean."""
    maps = []
    for name in layers:
        kept_output: list[Tensor] = []
        handle = model.get_submodule(name).register_forward_hook(lambda m, i, o, k=kept_output: k.append(o))
        image = x.clone().requires_grad_()
        score = model(image)[:, target].sum()
        handle.remove()
        (gradient,) = torch.autograd.grad(score, kept_output[0])
        one = (gradient.clamp_min(0) * kept_output[0]).sum(1)
        maps.append((one / one.abs().amax((1, 2), keepdim=True)).detach())
    finest = maps[0].shape[1:]
    return torch.stack([F.interpolate(m[:, None], finest, mode="bilinear")[:, 0] for m in maps]).mean(0)


@pytest.mark.slow
def test_maps_are_put_together_as_by_hand() -> None:
    import torchvision

    torch.manual_seed(0)
    model, x = torchvision.models.shufflenet_v2_x0_5().eval(), torch.randn(2, 3, 96, 96)
    layers = stage_layers(model, x[:1])
    found = compute_maps(model, x, MapRequest("layer_cam", STAGES, 5))
    assert found.layer == ",".join(layers)
    assert found.maps.shape == (2, 24, 24)
    torch.testing.assert_close(found.maps, by_hand(model, x, layers, 5), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_run_names_its_stages_and_keeps_block_means(pictures: Path, tmp_path: Path) -> None:
    net = load("fer_vgg:toon_faces")
    names = dict(zip(("red", "green", "blue"), net.classes, strict=False))
    done = run(net, FolderSource(pictures), tmp_path / "run", ["layer_cam"], STAGES, mapping=names)
    stages = stage_layers(net.model, torch.zeros(1, 3, 128, 128))
    assert done.request.layer == ",".join(stages)
    assert len(stages) == 3
    opened = open_run(tmp_path / "run")
    source = FolderSource(pictures)
    session = open_session(net, source.load(0))
    row = int(opened.table.index[opened.table["id"] == source.items[0].id][0])
    live = session.map(MapRequest("layer_cam", STAGES, int(opened.table.at[row, "pred"])))
    assert live.layer == done.request.layer
    stored = opened.maps("layer_cam", "pred", [row])[0]
    expected = kept("layer_cam", live.maps, live.layer)[0].numpy()
    assert stored.shape == expected.shape == done.request.map_shape
    assert np.abs(stored - expected).max() <= 0.01 * np.abs(expected).max()  # stored in 8 bits
    works = measurements(net, opened, layers=["features.37", STAGES], images=10)
    assert [work.store.settings.layer for work in works] == ["features.37", done.request.layer]


def test_fine_maps_of_stages_are_means_of_equal_blocks() -> None:
    maps = torch.rand(2, 56, 75)
    assert kept("layer_cam", maps, "features.3") is maps
    small = kept("layer_cam", maps, "features.3,features.6")
    assert small.shape == (2, 28, 25)
    assert max(small.shape[1:]) <= SIDE
    torch.testing.assert_close(small, maps.unflatten(2, (25, 3)).unflatten(1, (28, 2)).mean((2, 4)))


@pytest.mark.slow
def test_they_are_the_default_where_no_method_is_named(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    assert defaults("modules") == (["layer_cam"], STAGES)
    assert defaults("modules", "features.4") == (["layer_cam"], "features.4")
    assert defaults("scores") == (["occlusion"], None)
    opened = vitrine.run(tiny, pictures, tmp_path / "run")
    request = opened.manifest.request
    assert (request.methods, request.layer) == (("layer_cam",), "features")
    shown = vitrine.explain(tiny, pictures / "red" / "0.png")
    session = open_session(tiny, FolderSource(pictures).load(0))
    assert [*shown.maps] == ["layer_cam"]
    assert shown.results["layer_cam"].layer == request.layer
    named = vitrine.explain(tiny, pictures / "red" / "0.png", methods="grad_cam")
    assert named.results["grad_cam"].layer == session.map(MapRequest("grad_cam")).layer == "features"


@pytest.mark.slow
def test_the_command_line_says_the_layers(pictures: Path, tmp_path: Path) -> None:
    picture = pictures / "red" / "0.png"
    words = "explain", str(picture), "--model", "fer_vgg:toon_faces", "--out", str(tmp_path / "maps")
    text = run_command(*words).stdout
    assert "\nlayer_cam " in text
    assert "mean of the layers features.21, features.29, features.37\n" in text


def test_a_plain_chain_of_small_images_has_its_last_layer_alone() -> None:
    """Layers of other kinds and shapes are no blocks, though all their names are numbers."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1))
    more = (nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
    net = nn.Sequential(*layers, *more, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)).eval()
    assert stage_layers(net, torch.zeros(1, 3, 48, 48)) == ("7",)


def test_several_layers_have_a_short_name_on_the_page(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    run(tiny, FolderSource(pictures), tmp_path / "one", ["layer_cam"], "features.4")
    run(tiny, FolderSource(pictures), tmp_path / "two", ["layer_cam"], "features.0,features.2,features.4")
    one, two = (str(header(open_run(tmp_path / name))) for name in ("one", "two"))
    assert "<b>features.4</b>" in one
    assert "title=" not in one
    assert 'title="features.0, features.2, features.4">layer <b>3 layers to features.4</b>' in two
