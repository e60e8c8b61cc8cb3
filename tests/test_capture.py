"""Capture and the contract that every method in the registry keeps."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from explain.methods.inputs import MethodInputs
from explain.methods.registry import METHODS, register
from explain.methods.spec import Method
from explain.network.hooks import capture, logits
from explain.network.target import Target
from explain.network.target_layers import default_layer, map_layers
from models.classifier import Classifier
from models.errors import Cancelled, UserError
from tests.maps import ATTENTION, maps_for
from tests.networks import TinyViT

LAYER = "features.4"


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)).contiguous(
        memory_format=torch.channels_last
    )


def snapshot(model: nn.Module, x: torch.Tensor) -> tuple[object, ...]:
    hooks = [
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    ]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    return (
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [p.grad is None for p in model.parameters()],
        hooks,
        state,
        x.clone(),
        x.requires_grad,
        torch.is_grad_enabled(),
    )


def assert_as_found(before: tuple[object, ...], model: nn.Module, x: torch.Tensor) -> None:
    after = snapshot(model, x)
    assert after[:4] == before[:4]
    assert all(torch.equal(after[4][k], v) for k, v in before[4].items())  # type: ignore[index,attr-defined]
    assert torch.equal(after[5], before[5])  # type: ignore[arg-type]
    assert after[6:] == before[6:]


def mixed_modes(model: nn.Module) -> nn.Module:
    model.train()
    model.features[1].eval()  # type: ignore[index,operator]
    next(model.parameters()).requires_grad_(False)
    return model


def network_for(name: str, tiny: Classifier) -> nn.Module:
    return mixed_modes(TinyViT() if name in ATTENTION else tiny.model)


SLOW = ("kernel_shap", "lime", "rise")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in METHODS]
)
def test_contract(name: str, tiny: Classifier, x: torch.Tensor) -> None:
    """Shape, type, finite, the same again, a batch equals its images; and the model as it was, after success
    and every failure."""
    model, target = network_for(name, tiny), torch.tensor([0, 1, 2, 1])
    method, few = METHODS[name], {"samples": 60} if name in SLOW else {}

    def ask(
        rows: slice = slice(None),
        images: torch.Tensor = x,
        layer: str = LAYER,
        classes: torch.Tensor = target,
    ) -> torch.Tensor:
        return maps_for(MethodInputs(model, images[rows], (layer,), Target(classes[rows])), name, few).maps

    before = snapshot(model, x)
    maps = ask()
    assert_as_found(before, model, x)
    assert maps.shape == ((4, 8, 8) if method.coarse else (4, 32, 32))
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.isfinite().all()
    assert torch.equal(maps, ask())
    alone = torch.cat([ask(slice(i, i + 1)) for i in range(4)])
    rough = 5e-3 if name == "lrp" else 0  # it divides by sums near zero, which batches round differently
    torch.testing.assert_close(maps, alone, rtol=1e-3, atol=max(1e-6, rough * float(maps.abs().max())))
    if method.layered:
        with pytest.raises(UserError, match="No layer 'nowhere'"):
            ask(layer="nowhere")
        with pytest.raises(UserError, match="outputs"):
            ask(layer="head")
    if method.class_specific:
        with pytest.raises(UserError, match="do not fit"):
            ask(classes=torch.tensor([0, 1, 2, 99]))
        pair = MethodInputs(model, x, (LAYER,), Target(target, (target + 1) % 3))
        if method.differences:
            assert not torch.allclose(maps_for(pair, name, few).maps, maps)
        else:
            with pytest.raises(UserError, match="difference of two classes"):
                maps_for(pair, name)
    with pytest.raises(RuntimeError):
        ask(images=x[:, :1])
    assert_as_found(before, model, x)


@pytest.mark.parametrize("name", METHODS)
def test_left_as_found_when_stopped_or_broken(name: str, tiny: Classifier, x: torch.Tensor) -> None:
    model = network_for(name, tiny)
    before = snapshot(model, x)

    def stop(fraction: float) -> None:
        assert 0 <= fraction <= 1
        raise Cancelled

    with suppress(Cancelled):
        maps_for(
            MethodInputs(model, x, (LAYER,), Target(torch.zeros(4, dtype=torch.long)), on_progress=stop), name
        )
    assert_as_found(before, model, x)
    forward, calls = model.dropout.forward, []

    def broken(y: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 1 or METHODS[name].needs == "pass":
            raise ZeroDivisionError
        return forward(y)  # type: ignore[operator]

    model.dropout.forward = broken  # type: ignore[method-assign,assignment,union-attr]
    with suppress(ZeroDivisionError):
        maps_for(MethodInputs(model, x, (LAYER,), Target(torch.zeros(4, dtype=torch.long))), name)
    assert calls
    assert_as_found(before, model, x)


def test_left_as_found_when_the_network_breaks_after_the_layer(tiny: Classifier, x: torch.Tensor) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    tiny.model.dropout.forward = broken  # type: ignore[method-assign,assignment,union-attr]
    model = mixed_modes(tiny.model)
    before = snapshot(model, x)
    with pytest.raises(ZeroDivisionError):
        capture(model, x, LAYER)
    assert_as_found(before, model, x)


def test_callers_gradients_survive(tiny: Classifier, x: torch.Tensor) -> None:
    tiny.model(x).sum().backward()
    kept = [p.grad.clone() for p in tiny.model.parameters() if p.grad is not None]
    capture(tiny.model, x, LAYER).gradient(torch.zeros(4, dtype=torch.long))
    assert all(torch.equal(p.grad, k) for p, k in zip(tiny.model.parameters(), kept, strict=True))  # type: ignore[arg-type]


def test_logits_are_those_of_the_network(tiny: Classifier, x: torch.Tensor) -> None:
    with torch.no_grad():
        plain = tiny.model(x)
    torch.testing.assert_close(capture(tiny.model, x, LAYER).logits, plain)
    torch.testing.assert_close(logits(tiny.model, x), plain)


def test_gradient_is_that_of_the_whole_graph(tiny: Classifier, x: torch.Tensor) -> None:
    target = torch.tensor([2, 0, 1, 1])
    activation = tiny.model.features(x).detach().requires_grad_()  # type: ignore[operator]
    score = tiny.model.head(activation.mean((2, 3))).gather(1, target[:, None]).sum()  # type: ignore[operator]
    (expected,) = torch.autograd.grad(score, activation)
    torch.testing.assert_close(capture(tiny.model, x, LAYER).gradient(target), expected)


def test_layer_before_an_in_place_module_keeps_its_own_output(tiny: Classifier, x: torch.Tensor) -> None:
    """The ReLU after the convolution works in place; what is captured is the convolution's output, negatives
    included."""
    captured = capture(tiny.model, x, "features.3")
    assert (captured.activation < 0).any()
    captured.gradient(torch.zeros(4, dtype=torch.long))


def test_layer_that_no_gradient_reaches(x: torch.Tensor) -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.side, self.body, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.side(x)
            return self.head(self.body(x).mean((2, 3)))

    with pytest.raises(UserError, match="No gradient reaches layer 'side'"):
        capture(Dead(), x, "side").gradient(torch.zeros(4, dtype=torch.long))


def test_layer_that_does_not_run(x: torch.Tensor) -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused, self.body, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x).mean((2, 3)))

    with pytest.raises(UserError, match="did not run"):
        capture(Idle(), x, "unused")


def test_default_layer(tiny: Classifier, x: torch.Tensor) -> None:
    assert default_layer(tiny.model, x) == "features"
    assert [layer.name for layer in map_layers(tiny.model, x)][-1] == "features"
    with pytest.raises(UserError, match="no convolution"):
        default_layer(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("mobilenet_v2", "features", (1280, 4, 4)),
        ("resnet50", "layer4", (2048, 4, 4)),
        ("vgg11", "features.19", (512, 14, 14)),
        ("alexnet", "features.11", (256, 13, 13)),
        ("timm:mobilenetv1_100", None, (1024, 4, 4)),
        ("fer_vgg", "features.37", (128, 8, 8)),
        ("fer_alexnet", "features.22", (128, 8, 8)),
        ("fer_mobilenet", "features", (1024, 4, 4)),
        ("densenet121", "features", (1024, 3, 3)),
        ("convnext_tiny", "features", (768, 3, 3)),
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_default_layer_of_real_networks(name: str, layer: str | None, shape: tuple[int, int, int]) -> None:
    from models.registry import spec

    entry = spec(name)
    pooled = name in ("vgg11", "alexnet")  # to a size that smaller images do not exceed
    side = entry.preprocessing.size[0] if pooled or name.startswith("fer") else 112
    model, example = entry.build(None), torch.zeros(1, 3, side, side)
    chosen = default_layer(model, example)
    assert layer in (None, chosen)
    assert capture(model, example, chosen).activation.shape[1:] == shape


def test_a_name_can_be_registered_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        register(Method("grad_cam", "", "cam.grad_cam", "", ""))
