"""Attributions: equal to Captum called by hand, complete where theory says so, and right on networks that
Captum alone gets wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum.attr as reference
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.inputs import MethodInputs
from explain.methods.registry import METHODS
from explain.methods.request import Smoothing
from explain.network.model_state import as_found
from explain.network.target import Target
from models.errors import UserError
from models.registry import spec
from tests.maps import maps_for


class Net(nn.Module):
    """The same function in three ways: `plain` ReLU modules, one module `reused` in place, or a `functional`
    call; `six`: ReLU6."""

    def __init__(self, way: str = "plain", six: bool = False):
        super().__init__()
        torch.manual_seed(4)
        self.one, self.two, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1), nn.Linear(8, 4)
        kind = nn.ReLU6 if six else nn.ReLU
        self.way, self.six = way, six
        self.a, self.b = kind(), kind()
        if way == "reused":
            self.a = self.b = kind(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.way == "functional":
            act = F.relu6 if self.six else F.relu
            return self.head(act(self.two(act(self.one(8 * x)))).mean((2, 3)))
        return self.head(self.b(self.two(self.a(self.one(8 * x)))).mean((2, 3)))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(6))


CLASSES = torch.tensor([1, 3])


def ask(
    model: nn.Module,
    x: torch.Tensor,
    name: str,
    layer: str = "two",
    classes: torch.Tensor = CLASSES,
    **given: Any,
) -> torch.Tensor:
    return maps_for(MethodInputs(model, x, (layer,), Target(classes[: len(x)])), name, given).maps


def by_hand(name: str, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Captum as its documentation has it, on the network that suits it."""
    mean, blur = baseline(x, "mean"), baseline(x, "blur")
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "input_gradient": lambda: reference.Saliency(model).attribute(x, CLASSES).amax(1),
        "input_x_gradient": lambda: reference.InputXGradient(model).attribute(x, CLASSES).sum(1),
        "integrated_gradients": lambda: (
            reference.IntegratedGradients(model).attribute(x, mean, CLASSES).sum(1)
        ),
        "deep_lift": lambda: reference.DeepLift(model).attribute(x, mean, CLASSES).sum(1),
        "guided_backprop": lambda: reference.GuidedBackprop(model).attribute(x, CLASSES).sum(1),
        "deconvolution": lambda: reference.Deconvolution(model).attribute(x, CLASSES).sum(1),
        "guided_grad_cam": lambda: (
            reference.GuidedGradCam(model, model.two)
            .attribute(x, CLASSES, interpolate_mode="bilinear")
            .sum(1)
        ),
        "occlusion": lambda: reference.Occlusion(model).attribute(x, (3, 4, 4), (3, 2, 2), mean, CLASSES)[
            :, 0
        ],
        "lrp": lambda: reference.LRP(model).attribute(x, CLASSES).sum(1),
    }
    del blur
    with as_found(model):
        return calls[name]().detach()


@pytest.mark.filterwarnings("ignore:Input Tensor", "ignore:Setting")  # Captum's own, by hand
@pytest.mark.parametrize("way", ["plain", "reused", "functional"])
@pytest.mark.parametrize(
    "name",
    [
        "input_gradient",
        "input_x_gradient",
        "integrated_gradients",
        "deep_lift",
        "guided_backprop",
        "deconvolution",
        "guided_grad_cam",
        "occlusion",
        "lrp",
    ],
)
def test_equal_to_captum_called_by_hand(name: str, way: str, x: torch.Tensor) -> None:
    """However the network calls its ReLUs: Captum gets the one way that it can read, ours get all three."""
    ours = ask(Net(way), x, name)
    theirs = by_hand(name, Net(), x.clone())
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("way", ["plain", "reused", "functional"])
@pytest.mark.parametrize("six", [False, True])
def test_deep_lift_is_complete(way: str, six: bool, x: torch.Tensor) -> None:
    """The attributions sum to what the score gains on the baseline."""
    model = Net(way, six)
    with torch.no_grad():
        gain = (model(x) - model(torch.zeros_like(x))).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(ask(model, x, "deep_lift").sum((1, 2)), gain, rtol=1e-3, atol=1e-4)
    if six:  # or the case would be one of ReLUs alone
        assert (model.one(8 * x) > 6).any()


def test_integrated_gradients_are_complete(x: torch.Tensor) -> None:
    model = Net()
    for name in ("mean", "blur"):
        with torch.no_grad():
            gain = (model(x) - model(baseline(x, name))).gather(1, CLASSES[:, None])[:, 0]
        torch.testing.assert_close(
            ask(model, x, "integrated_gradients", steps=200, base=name).sum((1, 2)),
            gain,
            rtol=2e-2,
            atol=2e-3,
        )


@pytest.mark.slow
@pytest.mark.parametrize("base", ["mean", "blur"])
@pytest.mark.parametrize("name", [m.name for m in METHODS.values() if m.complete])
def test_what_a_map_should_sum_to(name: str, base: str, x: torch.Tensor) -> None:
    model, target = Net(), Target(CLASSES, (CLASSES + 1) % 3)
    with torch.no_grad():
        change = target.score(model(x)) - target.score(model(baseline(x, base)))
    given = {"base": base, "steps": 200} if name == "integrated_gradients" else {"base": base}
    found = maps_for(MethodInputs(model, x, ("two",), target), name, given)
    assert found.expected_sums is not None
    torch.testing.assert_close(found.expected_sums, change)
    torch.testing.assert_close(found.maps.sum((1, 2)), change, rtol=2e-2, atol=2e-3)
    assert (
        maps_for(MethodInputs(model, x, ("two",), target), name, smoothing=Smoothing(flip=True)).expected_sums
        is None
    )
    assert maps_for(MethodInputs(model, x, ("two",), target), "grad_cam").expected_sums is None


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("guided_backprop", lambda g, x: g.relu() * (x > 0) * (x < 6)),
        ("deconvolution", lambda g, x: g.relu()),
    ],
)
@pytest.mark.parametrize("way", ["plain", "reused", "functional"])
def test_rules_at_clipped_relus(
    name: str, rule: Callable[..., torch.Tensor], way: str, x: torch.Tensor
) -> None:
    """ReLU6, which Captum passes over: by a backward pass of our own. What is clipped at six lets nothing
    back in guided backpropagation."""
    net = Net(six=True)

    class Ruled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(y)
            return y.clamp(0, 6)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return rule(gradient, ctx.saved_tensors[0])

    image = x.clone().requires_grad_()
    y = (
        net.head(Ruled.apply(net.two(Ruled.apply(net.one(8 * image)))).mean((2, 3)))
        .gather(1, CLASSES[:, None])
        .sum()
    )
    (expected,) = torch.autograd.grad(y, image)
    torch.testing.assert_close(ask(Net(way, six=True), x, name), expected.sum(1), rtol=1e-4, atol=1e-6)


def test_lrp_keeps_the_score(x: torch.Tensor) -> None:
    """Without biases, relevance is neither made nor lost."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, bias=False),
        nn.ReLU(),
        nn.Identity(),
        nn.Flatten(),
        nn.LazyLinear(4, bias=False),
    )
    with torch.no_grad():
        score = model(x).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(ask(model, x, "lrp", "0").sum((1, 2)), score, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("random_weights")
def test_what_does_not_apply_is_said(x: torch.Tensor) -> None:
    smooth = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    with pytest.raises(UserError, match="has no ReLU"):
        ask(smooth, x, "guided_backprop", "0")
    with pytest.raises(UserError, match=r"LRP has no rule for a layer of this network .*GELU"):
        ask(smooth, x, "lrp", "0")
    for network in ("resnet18", "mobilenet_v2", "densenet121"):
        with pytest.raises(UserError, match="networks without branches"):
            ask(spec(network).build(None), F.interpolate(x[:1], 64), "lrp", "features")
    six = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    with pytest.raises(UserError, match=r"no rule for a layer of this network \(ReLU6\)"):
        ask(six, x, "lrp", "0")
    with torch.no_grad():
        gain = (smooth(x) - smooth(torch.zeros_like(x))).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(
        ask(smooth, x, "deep_lift", "0").sum((1, 2)), gain, rtol=1e-3, atol=1e-4
    )  # the rescale rule holds for GELU


@pytest.mark.slow
def test_samples_in_smaller_batches_are_the_same_samples(x: torch.Tensor) -> None:
    model = Net()
    whole = ask(model, x, "smooth_grad", samples=6)
    forward, sizes = model.one.forward, []

    def little(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 4:
            raise torch.OutOfMemoryError
        return forward(images)

    model.one.forward = little  # type: ignore[method-assign]
    found = ask(model, x, "smooth_grad", samples=6)
    assert max(sizes) > 4
    assert torch.corrcoef(torch.stack([whole.flatten(), found.flatten()]))[0, 1] > 0.9
    for name in ("integrated_gradients", "gradient_shap", "occlusion", "lime"):
        assert ask(model, x, name).isfinite().all()


@pytest.mark.slow
def test_progress_is_told_and_never_goes_back(x: torch.Tensor) -> None:
    for name in ("integrated_gradients", "occlusion", "lime", "kernel_shap", "score_cam", "ablation_cam"):
        told: list[float] = []
        few = {p.name: 60 for p in METHODS[name].parameters if p.name == "samples"}
        case = MethodInputs(Net(), x, ("two",), Target(CLASSES), batch_size=1, on_progress=told.append)
        maps_for(case, name, few)
        assert told == sorted(told)
        assert 0.8 < told[-1] <= 1, name
        assert len(told) > 2


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet18", "densenet121", "alexnet"])
@pytest.mark.usefixtures("random_weights")
def test_on_real_networks(network: str) -> None:
    """In-place, re-used and functional ReLUs of torchvision: DeepLift stays complete, Captum's Grad-CAM is
    ours."""
    from explain.network.target_layers import default_layer

    torch.manual_seed(0)
    model, x = spec(network).build(None).eval(), torch.randn(1, 3, 64, 64)
    layer, one = default_layer(model, x), torch.tensor([5])
    with torch.no_grad():
        gain = (model(x) - model(torch.zeros_like(x)))[:, 5]
    torch.testing.assert_close(ask(model, x, "deep_lift", layer, one).sum((1, 2)), gain, rtol=2e-2, atol=1e-4)
    ours, theirs = ask(model, x, "grad_cam", layer, one), ask(model, x, "layer_grad_cam", layer, one)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max()))
    plain = ask(model, x, "input_gradient", layer, one)
    for name in ("guided_backprop", "deconvolution"):
        changed = ask(model, x, name, layer, one)
        assert changed.isfinite().all()
        assert (
            torch.corrcoef(torch.stack([changed.flatten(), plain.flatten()]))[0, 1] < 0.9
        )  # the rules were applied


def test_every_parameter_is_read(x: torch.Tensor) -> None:
    """What an entry says of its parameters holds: each at both of its ends, or each of its choices, or
    refused."""
    for method in METHODS.values():
        for p in method.parameters:
            assert p.read(p.default) == p.default
            for value in p.choices or ([True, False] if isinstance(p.default, bool) else [p.low, p.high]):
                assert p.read(str(value)) == value
            with pytest.raises(UserError, match=p.name):
                p.read("nonsense")
            if not p.choices and not isinstance(p.default, bool):
                with pytest.raises(UserError, match="number from"):
                    p.read(p.high + 1)
        with pytest.raises(UserError, match="has no parameter 'colour'"):
            method.settings({"colour": 1})
        assert method.passes(64, 49, method.settings()) >= 1


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Input Tensor", "ignore:Setting")
def test_real_photos_and_weights(mobilenet_weights: Path) -> None:
    """MobileNetV2 as ImageNet taught it, on the two photos that scikit-learn ships: Captum by hand where it
    can, and DeepLift's sum."""
    from sklearn.datasets import load_sample_images

    from models.registry import load

    classifier = load("mobilenet_v2", mobilenet_weights)
    model, x = (
        classifier.model,
        classifier.batch([Image.fromarray(photo) for photo in load_sample_images().images]),
    )
    x = x[..., 48:144, 48:144].contiguous()
    with torch.no_grad():
        classes = model(x).argmax(1)
    mean = torch.zeros_like(x)
    pairs = {
        "input_gradient": (reference.Saliency(model).attribute(x.clone(), classes).amax(1), {}),
        "input_x_gradient": (reference.InputXGradient(model).attribute(x.clone(), classes).sum(1), {}),
        "integrated_gradients": (
            reference.IntegratedGradients(model).attribute(x.clone(), mean, classes, n_steps=8).sum(1),
            {"steps": 8},
        ),
    }
    for name, (theirs, given) in pairs.items():
        ours = maps_for(MethodInputs(model, x, (), Target(classes)), name, given).maps
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-3, atol=1e-5 * float(theirs.abs().max()))
    with torch.no_grad():
        gain = (model(x) - model(mean)).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(
        ask(model, x, "deep_lift", "features", classes).sum((1, 2)), gain, rtol=1e-2, atol=1e-2
    )
