"""The table of layers: shapes and sums by torchinfo, receptive fields by the input gradient, names as Keras
gave them."""

from collections.abc import Callable

import pytest
import torch
import torchinfo
from torch import Tensor, nn
from torch.nn import functional as F

from explain.network.summary import Layer, format_field, layers
from models.registry import spec
from tests.test_capture import assert_as_found, snapshot

TORCHINFO = [
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet50",
    "alexnet",
    "densenet121",
    "fer_vgg",
    "timm:efficientnet_b0",
    "timm:regnety_002",
]


def of(model: nn.Module, x: Tensor) -> dict[str, Layer]:
    return {layer.name: layer for layer in layers(model, x)}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in ("alexnet", "densenet121", "resnet50") else n
        for n in TORCHINFO
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_shapes_and_sums_are_torchinfo_s(name: str) -> None:
    entry = spec(name)
    side = entry.preprocessing.size[0] if name.startswith("fer") else 96
    model, x = entry.build(7).eval(), torch.rand(1, entry.preprocessing.channels, side, side)
    before, table = snapshot(model, x), layers(model, x)
    assert_as_found(before, model, x)
    theirs = torchinfo.summary(model, input_data=x, verbose=0, col_names=("output_size",))
    assert sum(layer.parameters for layer in table) == theirs.total_params
    assert sum(layer.macs for layer in table) == theirs.total_mult_adds
    shapes = {
        id(info.module): tuple(info.output_size[1:]) for info in theirs.summary_list if info.is_leaf_layer
    }
    compared = 0
    for layer in table:
        if (module := id(model.get_submodule(layer.name))) in shapes and layer.shape:
            assert layer.shape == shapes[module], layer.name
            compared += 1
    assert compared > 10


@pytest.mark.slow
def test_names_of_mobilenet_v1() -> None:
    entry = spec("mobilenet_v1")
    names = [layer.alias for layer in layers(entry.build(None).eval(), torch.rand(1, 3, 224, 224))]
    blocks = [
        f"{kind}_{i}{end}"
        for i in range(1, 14)
        for kind in ("conv_dw", "conv_pw")
        for end in ("", "_bn", "_relu")
    ]
    assert [
        n for n in names if n.startswith(("conv_dw", "conv_pw")) and not n.endswith(("dropout", "pool"))
    ] == blocks
    assert names[0] == "conv1"
    assert "preds" in names


def seen_by(model: nn.Module, layer: str, x: Tensor, i: int, j: int) -> tuple[int, int, int, int]:
    """The pixels that place (i, j) of a layer depends on, by the gradient with respect to the image."""
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2]))
    image = x.clone().requires_grad_()
    model(image)
    handle.remove()
    (gradient,) = torch.autograd.grad(kept[0][0, :, i, j].sum(), image)
    rows, columns = (gradient[0].abs().sum((0, k)).nonzero().flatten() for k in (2, 1))
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


class Residual(nn.Module):
    """Branches of unlike reach, by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.long, self.short, self.last = (
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.Conv2d(4, 4, 5, 1, 2),
            nn.Conv2d(4, 4, 1),
            nn.Conv2d(4, 2, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.stem(x))
        return self.last(F.avg_pool2d(self.long(x) + self.short(x), 3, 2)).mean((2, 3))  # type: ignore[no-any-return]


def positive(model: nn.Module) -> nn.Module:
    """So that nothing cancels, and no ReLU closes."""
    for p in model.parameters():
        p.data.abs_().add_(0.01)
    return model.eval()


TOYS: dict[str, Callable[[], nn.Module]] = {
    "strides": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 5, 1), nn.Conv2d(4, 4, 3, 2)
    ),
    "paddings": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
    ),
    "dilation": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, dilation=(3, 1)), nn.BatchNorm2d(4)
    ),
    "oblong": lambda: nn.Sequential(
        nn.Conv2d(3, 4, (1, 7), (1, 2), (0, 3)), nn.Conv2d(4, 4, (5, 1), (2, 1)), nn.AvgPool2d(2)
    ),
    "depthwise": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, groups=3), nn.Conv2d(6, 4, 1), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 4, 3, 2)
    ),
    "branches": Residual,
}


@pytest.mark.parametrize("toy", TOYS)
def test_receptive_fields_are_where_the_gradient_is(toy: str) -> None:
    torch.manual_seed(0)
    model, x = positive(TOYS[toy]()), torch.rand(1, 3, 61, 67)
    checked = 0
    for name, layer in of(model, x).items():
        if not layer.spatial:
            continue
        assert layer.field is not None
        for i, j in (
            (layer.shape[1] // 2, layer.shape[2] // 2),
            (0, 0),
            (layer.shape[1] - 1, layer.shape[2] - 1),
        ):
            where = layer.field.pixels(i, j)
            assert where is not None
            if layer.kind == "ZeroPad2d" and i == layer.shape[1] - 1:
                continue  # a zero sees nothing
            clipped = (max(where[0], 0), max(where[1], 0), min(where[2], 61), min(where[3], 67))
            found = seen_by(model, name, x, i, j)
            if layer.kind != "MaxPool2d" and "MaxPool2d" not in str(model):
                assert found == clipped, (name, i, j)
            else:  # of a maximum, the gradient reaches one place
                assert all(f >= c for f, c in zip(found[:2], clipped[:2], strict=True))
                assert all(f <= c for f, c in zip(found[2:], clipped[2:], strict=True))
            checked += 1
    assert checked > 3


def test_max_pooling_by_the_union_over_images() -> None:
    torch.manual_seed(0)
    model, x = positive(TOYS["paddings"]()), torch.rand(1, 3, 61, 67)
    field = of(model, x)["2"].field
    assert field is not None
    boxes = [seen_by(model, "2", torch.rand(1, 3, 61, 67), 6, 7) for _ in range(60)]
    assert (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    ) == field.pixels(6, 7)


@pytest.mark.slow
def test_what_sees_the_whole_image_and_what_is_not_known() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.gate, self.two, self.head = (
                nn.Conv2d(3, 8, 3, 2, 1),
                nn.Conv2d(8, 8, 1),
                nn.Conv2d(8, 8, 3, 1, 1),
                nn.Linear(8 * 256, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = self.one(x)
            x = self.two(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))
            return self.head(x.flatten(1))  # type: ignore[no-any-return]

    table = of(Gated().eval(), torch.rand(1, 3, 32, 32))
    fields = {name: layer.field for name, layer in table.items()}
    assert fields["one"] is not None
    assert fields["one"].size == (3, 3)
    for name in ("gate", "two", "head"):
        found = fields[name]
        assert found is not None
        assert found.size is None, name
    assert fields["two"] is not None
    assert fields["two"].stride == (2, 2)

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x).cumsum(2))  # type: ignore[no-any-return]

    odd = of(Odd().eval(), torch.rand(1, 3, 32, 32))
    assert odd["one"].field is not None
    assert odd["two"].field is None  # a sum along rows is not followed, and not guessed
    vit = of(spec("timm:vit_tiny_patch16_224").build(5).eval(), torch.rand(1, 3, 224, 224))
    patch, late = vit["patch_embed.proj"].field, vit["blocks.3.norm1"].field
    assert patch is not None
    assert patch.size == patch.stride == (16, 16)
    assert format_field(patch) == "16 px, stride 16"
    assert format_field(None) == "not known"
    assert late is not None
    assert late.size is None  # a token after attention sees the whole picture


def test_zeros_and_weights_that_are_shared() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.idle = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.two.weight, self.relu, self.scale = self.one.weight, nn.ReLU(), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.relu(self.one(x.mean((1, 2))))) * self.scale[0]  # type: ignore[no-any-return]

    model, x = Shared(), torch.rand(1, 3, 5, 4)
    table = of(model, x)
    assert sum(layer.parameters for layer in table.values()) == sum(p.numel() for p in model.parameters())
    assert table["idle"].shape == ()
    assert table[""].parameters == 3
    assert table["relu"].zeros == float((model.one(x.mean((1, 2))).relu() == 0).float().mean())
