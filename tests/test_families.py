"""Every method on many families of timm's networks, with random weights; and the sum of FullGrad."""

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d, LayerNorm2d
from timm.models import byobnet, hrnet
from torch import nn

from explain.methods.fullgrad import full_gradients
from explain.methods.inputs import MethodInputs
from explain.methods.registry import METHODS
from explain.methods.spec import Method
from explain.network.hooks import Capture
from explain.network.target import Target
from explain.network.target_layers import default_layer
from models.errors import UserError
from tests.maps import ATTENTION, maps_for
from tests.weights import shortened

FEW = {"samples": 10, "count": 4, "steps": 2, "window": 0.5, "stride": 1.0, "top": 3}
NOISY = {"smooth_grad": {"samples": 2}, "gradient_shap": {"samples": 2}}
WITH_RELU = """resnet18 regnetx_002 densenet121 ghostnet_050 hrnet_w18_small dla46_c repvgg_a0 mobileone_s0
mobilenetv3_small_050 rexnet_100 mobilenetv4_conv_small lcnet_050 fastvit_t8 efficientvit_b0"""
WITHOUT = """efficientnet_b0 convnext_atto mambaout_femto edgenext_xx_small poolformer_s12 inception_next_atto
mobilevit_xxs pvt_v2_b0 xcit_nano_12_p16_224"""
SIDES = {  # of the images, where they differ from 64; negative: the network is built for it
    "vit_tiny_patch16_224": -64,
    "deit_tiny_distilled_patch16_224": -64,
    "swin_tiny_patch4_window7_224": -112,
    "cait_xxs24_224": -64,
    "levit_128s": -64,
}
SMALLER: dict[str, dict[str, Any]] = {  # the same parts, fewer of them: what is computed per part stays
    "swin_tiny_patch4_window7_224": {"embed_dim": 24, "num_heads": (1, 2, 4, 8), "depths": (2, 2, 2, 2)},
    "cait_xxs24_224": {"depth": 6},
    "densenet121": {"block_config": (3, 3, 4, 3)},
    "fastvit_t8": {"layers": (1, 1, 2, 1)},
    "xcit_nano_12_p16_224": {"depth": 2},
    "resnet18": {"layers": (1, 1, 1, 1)},
    "rexnet_100": {"depth_mult": 0.5},
    "vit_tiny_patch16_224": {"depth": 4},
    "deit_tiny_distilled_patch16_224": {"depth": 4},
    "levit_128s": {"depth": (1, 1, 2)},
    "pvt_v2_b0": {"depths": (1, 1, 1, 1)},
    "efficientvit_b0": {"depths": (1, 1, 1, 1)},
    "edgenext_xx_small": {"depths": (1, 2, 2, 2)},
    "convnext_atto": {"depths": (1, 1, 2, 1)},
    "mambaout_femto": {"depths": (1, 1, 2, 1)},
    "inception_next_atto": {"depths": (1, 1, 2, 1)},
    "regnetx_002": {"depth": 7},
}
STAGES = ("mobileone_s0", "repvgg_a0")
"""Networks that timm builds by a table of stages, of which each keeps two blocks."""
BRANCHES = ("hrnet_w18_small",)
"""By a table of stages of parallel branches, of which each keeps one block."""
WITH_ATTENTION = {"vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"}
"""Of all patches to all patches; others have none, or in windows, at several resolutions, or of channels."""
OF_RELUS = {"guided_backprop", "deconvolution", "guided_grad_cam"}


def _shorter(stage: Any) -> Any:
    """Blocks one by one, or one with a number."""
    return stage[:2] if isinstance(stage, list) else replace(stage, d=min(stage.d, 2))


def build(name: str, side: int, whole: bool = False) -> tuple[nn.Module, torch.Tensor]:
    """Its batch norms have seen images. `whole`: with all of its blocks."""
    torch.manual_seed(0)
    size = {"img_size": -side} if side < 0 else {}
    with pytest.MonkeyPatch.context() as patch:
        if name in STAGES:
            known = byobnet.model_cfgs
            stages = [_shorter(stage) for stage in known[name].blocks]
            patch.setitem(known, name, replace(known[name], blocks=stages))
        for stage in hrnet.cfg_cls[name].values() if name in BRANCHES else ():
            if isinstance(stage, dict):
                patch.setitem(stage, "num_blocks", (1,) * len(stage["num_blocks"]))
        model = timm.create_model(name, num_classes=7, **size, **SMALLER.get(name, {})).eval()
    if not whole:
        shortened(model, 2 if name in BRANCHES else 1)  # its strides are blocks of the same layers
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3), nn.init.normal_(module.bias, 0, 0.3)
    return model, torch.randn(1, 3, abs(side), abs(side))


def few(method: Method) -> dict[str, Any]:
    return {p.name: FEW[p.name] for p in method.parameters if p.name in FEW} | NOISY.get(method.name, {})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize("family", [*WITH_RELU.split(), *WITHOUT.split(), *SIDES])
def test_every_method(family: str) -> None:
    """A finite map, or one line of reason: CAM, LRP and the methods of ReLUs are not for every network."""
    model, x = build(family, SIDES.get(family, 64))
    case = MethodInputs(model, x, (default_layer(model, x),), Target(torch.tensor([1])))
    maps, refused = dict[str, torch.Tensor](), dict[str, str]()
    for name, method in METHODS.items():
        try:
            maps[name] = maps_for(case, name, few(method)).maps
        except UserError as error:
            refused[name] = str(error)
            continue
        assert maps[name].isfinite().all(), name
        assert maps[name].shape == (
            x[:, 0].shape if not method.coarse else (1, *case.captured.layouts[0].size)
        ), name
    assert not any("\n" in line for line in refused.values())
    allowed = {"cam", "lrp"} | (set() if family in WITH_RELU.split() else OF_RELUS)
    assert set(refused) <= allowed | (set() if family in WITH_ATTENTION else ATTENTION)
    assert set(refused) >= ATTENTION or family in WITH_ATTENTION
    assert maps["grad_cam"].abs().sum() > 0
    torch.testing.assert_close(
        maps["layer_grad_cam"], maps["grad_cam"], rtol=1e-3, atol=1e-4 * float(maps["grad_cam"].abs().max())
    )
    expected = without_channels(case.captured, model, x, case.layer)
    torch.testing.assert_close(
        maps["ablation_cam"][0], expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()) + 1e-6
    )


def without_channels(captured: Capture, model: nn.Module, x: torch.Tensor, layer: str) -> torch.Tensor:
    """Ablation-CAM as a plain loop over the whole network."""
    layout, (activation,) = captured.layouts[0], captured.activation
    y, total = captured.logits[0, 1], torch.zeros(layout.size)
    for channel in activation.mean((1, 2)).topk(FEW["top"]).indices:

        def without(
            _: nn.Module, __: Any, output: torch.Tensor, channel: torch.Tensor = channel
        ) -> torch.Tensor:
            places = output[:, layout.prefix :] if layout.kind == "tokens" else output
            places = places.index_fill(1 if layout.kind == "maps" else -1, channel, 0)
            return torch.cat([output[:, : layout.prefix], places], 1) if layout.kind == "tokens" else places

        handle = model.get_submodule(layer).register_forward_hook(without)
        with torch.no_grad():
            total += (y - model(x)[0, 1]) / y.abs() * activation[channel]
        handle.remove()
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "side"),
    [
        ("resnet18", 64),
        ("regnetx_002", 64),
        ("densenet121", 64),
        ("nfnet_l0", 64),
        ("rexnet_100", 64),
        ("inception_v3", 96),
        ("mobilenetv3_small_050", 64),
    ],
)
def test_deep_lift_on_families(family: str, side: int) -> None:
    """In-place activations, inputs that are used twice, pooling behind activations. Gates add an error, small
    here."""
    model, x = build(family, side, whole=True)
    found = maps_for(MethodInputs(model, x, (), Target(torch.tensor([1]))), "deep_lift", {"base": "blur"})
    assert found.expected_sums is not None
    gated = family in ("nfnet_l0", "rexnet_100", "mobilenetv3_small_050")
    torch.testing.assert_close(
        found.maps.sum((1, 2)), found.expected_sums, rtol=0.3 if gated else 1e-3, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "layer"), [("cait_xxs24_224", "blocks_token_only.1.norm1"), ("convit_tiny", "blocks.11.norm1")]
)
def test_default_layer_before_attention_by_another_name(family: str, layer: str) -> None:
    model, x = build(family, -64 if family != "convit_tiny" else 224)
    assert default_layer(model, x) == layer
    assert (
        maps_for(MethodInputs(model, x, (layer,), Target(torch.tensor([1]))), "grad_cam").maps.abs().sum() > 0
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    ["resnet18", "regnetx_002", "repvgg_a0", "densenet121", "cspresnet50", "dla46_c", "hrnet_w18_small"],
)
def test_full_gradients_sum_to_the_score_of_families(family: str) -> None:
    """Of ReLUs; timm's batch norms hold the activation behind them."""
    if family == "cspresnet50":  # of leaky ReLUs
        assert any(isinstance(m, nn.LeakyReLU) for m in build(family, 64)[0].modules())
    assert_complete(*build(family, 64))


def assert_complete(model: nn.Module, x: torch.Tensor) -> None:
    target = Target(torch.ones(len(x), dtype=torch.long))
    image, fractions = full_gradients(model, x, target)
    total = image.flatten(1).sum(1) + torch.stack([fraction.flatten(1).sum(1) for fraction in fractions]).sum(
        0
    )
    with torch.no_grad():
        torch.testing.assert_close(total, target.score(model(x)), rtol=1e-3, atol=1e-4)


class ChannelsLast(nn.Module):
    """As in MambaOut and Swin, (N, h, w, C) in the middle, with `side` channels: at 8, as many as columns, so
    that a bias fits along both. One linear layer runs twice; tokens, and a batch norm of their channels,
    follow."""

    def __init__(self, side: int):
        super().__init__()
        torch.manual_seed(3)
        self.stem, self.norm, self.wide = (
            nn.Conv2d(3, side, 2, 2),
            BatchNormAct2d(side),
            nn.Linear(side, side),
        )
        self.tokens, self.flat, self.last = nn.Linear(side, 5), nn.BatchNorm1d(5), nn.Conv1d(5, 6, 1)
        self.head = nn.Linear(6, 3)
        for norm in (self.norm, self.flat):
            nn.init.normal_(norm.bias), nn.init.normal_(norm.running_mean)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.stem(x)).permute(0, 2, 3, 1)
        y = self.wide(self.wide(y).relu()).relu()
        y = self.last(self.flat(self.tokens(y.flatten(1, 2)).transpose(1, 2)).relu())
        return self.head(y.relu().mean(2))


@pytest.mark.parametrize("side", [8, 6])
def test_full_gradients_channels_last(side: int) -> None:
    """The sum is the score; and one share is the bias times the gradient of a plain backward pass."""
    model, x = ChannelsLast(side).eval(), torch.randn(2, 3, 16, 16)
    assert_complete(model, x)
    _, fractions = full_gradients(model, x, Target(torch.tensor([1, 1])))
    assert sorted(tuple(fraction.shape[1:]) for fraction in fractions) == sorted(
        [(side, 8, 8), (side, 8, 8), (side, 8, 8), (side, 8, 8), (5, 64), (5, 64), (6, 64), (3,)]
    )
    y = model.norm(model.stem(x)).permute(0, 2, 3, 1)
    z = model.wide(y).detach().requires_grad_()
    rest = (
        model.last(model.flat(model.tokens(model.wide(z.relu()).relu().flatten(1, 2)).transpose(1, 2)).relu())
        .relu()
        .mean(2)
    )
    (gradient,) = torch.autograd.grad(model.head(rest)[:, 1].sum(), z)
    expected = (gradient * model.wide.bias).permute(0, 3, 1, 2).detach()
    assert any(
        fraction.shape == expected.shape and torch.allclose(fraction, expected, atol=1e-6)
        for fraction in fractions
    )


def test_fullgrad_counts_maps_and_tokens_alone() -> None:
    """By the formula, of the layers with spatial positions; not of windows, or of what the image does not
    reach."""

    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.stem, self.first, self.second, self.head = (
                nn.Conv2d(3, 6, 2, 2),
                LayerNorm2d(6),
                nn.LayerNorm(6),
                nn.Linear(6, 3),
            )
            self.window, self.places, self.tokens = nn.Linear(6, 6), nn.Linear(2, 6), nn.Linear(6, 6)
            self.register_buffer("grid", torch.randn(1, 8, 8, 2))
            nn.init.normal_(self.first.bias), nn.init.normal_(self.second.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.second(self.first(self.stem(x)).permute(0, 2, 3, 1)) + self.places(self.grid)
            y = self.window(
                y.unflatten(2, (2, 4)).unflatten(1, (2, 4)).transpose(2, 3).flatten(0, 2)
            ).reshape(len(x), 8, 8, 6)
            return self.head(self.tokens(y.flatten(1, 2)).relu().mean(1))

    model, x = Windows().eval(), torch.randn(1, 3, 16, 16)
    case = MethodInputs(model, x, (), Target(torch.tensor([1])))
    image, fractions = full_gradients(model, x, case.target)
    assert sorted(tuple(fraction.shape) for fraction in fractions) == sorted(
        [(1, 6, 8, 8), (1, 6, 8, 8), (1, 6, 8, 8), (4, 6, 4, 4), (1, 6, 64), (1, 3)]
    )
    expected = torch.zeros(16, 16)
    for fraction in [
        image,
        *(s for s in fractions if s.shape[1:] == (6, 8, 8)),
        *(s.unflatten(2, (8, 8)) for s in fractions if s.shape[1:] == (6, 64)),
    ]:
        magnitude = fraction[0].abs()
        scaled = (magnitude - magnitude.min()) / (magnitude.max() - magnitude.min() + 1e-6)
        expected += nn.functional.interpolate(scaled[None], (16, 16), mode="bilinear", align_corners=True)[
            0
        ].sum(0)
    torch.testing.assert_close(maps_for(case, "fullgrad").maps[0], expected, rtol=1e-4, atol=1e-5)
