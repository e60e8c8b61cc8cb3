"""The fused network answers as the network does; where it would not, it is the network itself."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods import inputs
from explain.methods.registry import METHODS
from explain.network.fused import ConvRelu, fused_copy
from explain.network.hooks import capture, logits
from explain.network.target import Target
from explain.network.target_layers import default_layer
from models.registry import spec
from tests.maps import maps_for, maps_of_pass
from tests.test_capture import assert_as_found, snapshot


def lively(model: nn.Module) -> nn.Module:
    """Batch norms that do something."""
    torch.manual_seed(3)
    for module in model.modules():
        if (
            isinstance(module, nn.BatchNorm2d)
            and module.running_mean is not None
            and module.running_var is not None
        ):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_()
    return model.eval()


def images(n: int = 2, size: int = 64) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1)).contiguous(
        memory_format=torch.channels_last
    )


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "resnet50", "fer_vgg", "mobilenet_v1", "timm:resnet18", "timm:efficientnet_b0"]
)
@pytest.mark.usefixtures("random_weights")
def test_answers_and_maps_are_the_network_s(name: str) -> None:
    entry = spec(name)
    size = 128 if name == "fer_vgg" else 64
    model, x = lively(entry.build(None)), images(2, size)[:, : entry.preprocessing.channels]
    layer, before = default_layer(model, x), snapshot(model, x)
    quick = fused_copy(model, x, [layer])
    assert_as_found(before, model, x)
    assert quick is not model
    assert norms(quick) == 0
    torch.testing.assert_close(logits(quick, x), logits(model, x), rtol=1e-3, atol=1e-4)
    for network in (model, quick):
        assert default_layer(network, x) == layer
    target = torch.tensor([1, 2])
    ours, theirs = (
        maps_of_pass(capture(m, x, layer), ["grad_cam", "layer_cam"], target) for m in (quick, model)
    )
    for method, maps in ours.items():
        torch.testing.assert_close(
            maps,
            theirs[method],
            rtol=1e-3,
            atol=1e-4 * float(theirs[method].abs().max()),
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [m.name for m in METHODS.values() if m.needs == "network"])
def test_methods_of_many_passes_give_the_same_maps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused or not; on a network that has batch norms, ReLUs and both in a chain."""
    torch.manual_seed(0)
    model = lively(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 2, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )
    )
    x, target = images(2, 32), Target(torch.tensor([1, 2]))
    few = {"samples": 60} if any(p.name == "samples" for p in METHODS[name].parameters) else {}

    def maps(fusing: bool) -> Tensor:
        monkeypatch.setattr(inputs, "fused_copy", fused_copy if fusing else lambda model, *_: model)
        return maps_for(inputs.MethodInputs(model, x, ("4",), target), name, few).maps

    fused_ones, plain = maps(True), maps(False)
    torch.testing.assert_close(fused_ones, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize(
    ("name", "relus"),
    [
        ("mobilenet_v2", 35),
        pytest.param("vgg11", 8, marks=pytest.mark.slow),
        pytest.param("resnet50", 1, marks=pytest.mark.slow),
        ("timm:resnet18", 9),
        ("fer_vgg", 10),
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_relus_are_computed_with_their_convolution(name: str, relus: int) -> None:
    """But not one that runs twice, or behind a sum."""
    entry = spec(name)
    side = 128 if name == "fer_vgg" else 64
    quick = fused_copy(entry.build(None).eval(), images(1, side))
    assert sum(isinstance(m, ConvRelu) for m in quick.modules()) == relus


def test_weights_are_shared_where_nothing_is_fused() -> None:
    model = lively(spec("mobilenet_v2").build(None))
    quick = fused_copy(model, images())
    assert quick.classifier[1].weight is model.classifier[1].weight  # type: ignore[index,union-attr]


@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
def test_what_is_asked_for_stays(layer: str) -> None:
    """A convolution, a batch norm and a ReLU that someone looks at put out what they do in the network."""
    model = lively(
        nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 4, 3),
            nn.AdaptiveAvgPool2d(1),
        )
    )
    x = images()
    quick = fused_copy(model, x, [layer])
    torch.testing.assert_close(
        capture(quick, x, layer).activation, capture(model, x, layer).activation, rtol=1e-4, atol=1e-4
    )
    assert norms(quick) == (layer == "0")


class Branches(nn.Module):
    """Uses a convolution's output twice, one use by a function that no hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return (self.norm(x) + F.relu(x)).mean((2, 3))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(self.conv(x))).mean((2, 3))


class Odd(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).mean((2, 3))

    def __deepcopy__(self, memo: object) -> "Odd":
        raise TypeError("no")


class OwnStatistics(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), nn.AdaptiveAvgPool2d(1)
        )


@pytest.mark.parametrize("kind", [Branches, Twice, Odd, OwnStatistics])
def test_networks_that_cannot_be_fused_stay_themselves(kind: type[nn.Module]) -> None:
    model = lively(kind())
    assert fused_copy(model, images()) is model


def test_bf16() -> None:
    model, x = lively(spec("mobilenet_v2").build(None)), images()
    layer = default_layer(model, x)
    quick = fused_copy(model, x, [layer], "bf16")
    assert quick is not model
    exact, rough = (
        maps_of_pass(c, ["grad_cam"], torch.tensor([1, 2]))["grad_cam"].flatten(1)
        for c in (capture(model, x, layer), capture(quick, x, layer, "bf16"))
    )
    for a, b in zip(exact, rough, strict=True):
        assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.99


def test_gradients_go_through() -> None:
    model, x = lively(spec("mobilenet_v2").build(None)), images()
    quick = fused_copy(model, x)
    ours, theirs = (
        torch.autograd.grad(m(image := x.clone().requires_grad_())[:, 3].sum(), image)[0]
        for m in (quick, model)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-3 * float(theirs.abs().max()))
