"""DeepLift and the rules of ReLUs with activations that are shared, in place, or functions."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import captum.attr as reference
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.compute import MapResult
from explain.methods.inputs import MethodInputs
from explain.network.model_state import as_found
from explain.network.target import Target
from models.errors import UserError
from tests.maps import maps_for
from tests.networks import ACTIVATIONS, CLASSES, Net, one_activation, one_block, state


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(6))


def ask(model: nn.Module, x: torch.Tensor, name: str = "deep_lift", **given: Any) -> MapResult:
    return maps_for(MethodInputs(model, x, (), Target(CLASSES[: len(x)])), name, given)


def assert_complete(model: nn.Module, x: torch.Tensor, base: str = "mean") -> None:
    found = ask(model.eval(), x, base=base)
    assert found.expected_sums is not None
    torch.testing.assert_close(found.maps.sum((1, 2)), found.expected_sums, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("base", ["mean", "blur"])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_deep_lift_is_complete(kind: str, base: str, x: torch.Tensor) -> None:
    """With a residual block; and with activations that are followed by a pooling whose windows overlap."""
    assert_complete(one_activation(kind)[0], x, base)
    assert_complete(one_block(kind)[0], x, base)


@pytest.mark.filterwarnings("ignore:Input Tensor", "ignore:Setting")  # Captum's own, by hand
@pytest.mark.parametrize("kind", ["LeakyReLU", "ReLU", "ELU", "Softplus", "Tanh", "Sigmoid"])
def test_deep_lift_is_captum_s_of_separate_modules(kind: str, x: torch.Tensor) -> None:
    """The activations that Captum supports, in a chain: in residual blocks Captum itself is wrong."""

    def chain(one: nn.Module, two: nn.Module) -> nn.Module:
        torch.manual_seed(7)
        convs = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 2, 1)
        return nn.Sequential(convs[0], one, convs[1], two, nn.Flatten(), nn.Linear(96, 4)).eval()

    act = ACTIVATIONS[kind]()
    ours = ask(chain(act, act), x).maps
    separate = chain(deepcopy(act), deepcopy(act))
    with as_found(separate):
        theirs = (
            reference.DeepLift(separate).attribute(x.clone(), baseline(x, "mean"), CLASSES).sum(1).detach()
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max()))


class Rescale(torch.autograd.Function):
    """The rescale rule as a formula: images and baselines are the two halves of the batch."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, act: nn.Module) -> torch.Tensor:
        given = act(y.clone())
        ctx.save_for_backward(y, given)
        return given  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (y, y0), (z, z0) = (tensor.chunk(2) for tensor in ctx.saved_tensors)
        return gradient * torch.cat(2 * [(z - z0) / (y - y0)]), None


class Guide(torch.autograd.Function):
    """ReLU with the gradient of guided backpropagation, or with `always` of deconvolution."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, always: bool) -> torch.Tensor:
        ctx.save_for_backward(always | (y > 0))
        return y.relu()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient.relu() * ctx.saved_tensors[0], None


class Ruled(nn.Module):
    """An activation whose gradient follows one of the rules above."""

    def __init__(self, rule: type[torch.autograd.Function], given: Any):
        super().__init__()
        self.rule, self.given = rule, [given]

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.rule.apply(y, *self.given)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["LeakyReLU", "SiLU", "GELU", "Hardswish"])
def test_deep_lift_by_a_backward_pass_of_our_own(kind: str, x: torch.Tensor) -> None:
    """With a residual block, where an activation's input is used twice."""
    act, both = ACTIVATIONS[kind](), torch.cat([x, torch.zeros_like(x)]).requires_grad_()
    ours = ask(Net([act] * 5).eval(), x).maps
    scores = Net([Ruled(Rescale, act)] * 5).eval()(both).gather(1, CLASSES.repeat(2)[:, None])
    (multipliers,) = torch.autograd.grad(scores.sum(), both)
    torch.testing.assert_close(ours, (x * multipliers[:2]).sum(1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "always"), [("guided_backprop", False), ("deconvolution", True)])
def test_rules_of_relus_by_a_backward_pass_of_our_own(name: str, always: bool, x: torch.Tensor) -> None:
    """With a residual block: the rule changes the gradient of the ReLU's branch alone."""
    act, image = nn.ReLU(inplace=True), x.clone().requires_grad_()
    ours = ask(Net([act] * 5).eval(), x, name).maps
    scores = Net([Ruled(Guide, always)] * 5).eval()(image).gather(1, CLASSES[:, None])
    (expected,) = torch.autograd.grad(scores.sum(), image)
    torch.testing.assert_close(ours, expected.sum(1), rtol=1e-4, atol=1e-5)


class Functional(nn.Module):
    """Calls a function behind each of two convolutions; `assigned`: uses what it returns."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor], assigned: bool = True):
        super().__init__()
        torch.manual_seed(8)
        self.one, self.two, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 1, 1), nn.Linear(6, 4)
        self.call, self.assigned = call, assigned

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.one(3 * x)
        z = self.two(self.call(y) if self.assigned else (self.call(y), y)[1])
        return self.head(self.call(z).mean((2, 3)))


NAMES = "silu gelu hardswish leaky_relu elu mish relu6 softplus tanh sigmoid selu softsign"
FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    **{name: getattr(F, name) for name in NAMES.split()},
    "by name": lambda y: F.silu(input=y),
    "clamp": lambda y: y.clamp(min=0),
    "in place": lambda y: y.tanh_(),
    "in place by position": lambda y: F.leaky_relu(y, 0.3, True),
    "in place by name": lambda y: F.hardtanh(y, -1, 2, inplace=True),
    "pooling": lambda y: F.max_pool2d(F.relu(y), 3, 1, 1),
    "pooling with ceil": lambda y: F.max_pool2d(y, 3, 2, 1, 1, True),
}


@pytest.mark.parametrize("call", FUNCTIONS)
def test_deep_lift_with_functions(call: str, x: torch.Tensor) -> None:
    assert_complete(Functional(FUNCTIONS[call]), x, "blur")


def test_in_place_without_assignment(x: torch.Tensor) -> None:
    """A function still changes its argument; a module that would no longer do so is detected."""
    assert_complete(Functional(F.leaky_relu_, assigned=False), x)
    model = Functional(nn.LeakyReLU(inplace=True), assigned=False)
    before = state(model)
    for name in ("deep_lift", "guided_backprop"):
        with pytest.raises(UserError, match=r"change when its modules do not work in place.* use SmoothGrad"):
            ask(model, x, name)
    assert state(model) == before


def test_a_network_that_differs_from_pass_to_pass(x: torch.Tensor) -> None:
    passes: list[int] = []

    def more_and_more(y: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return F.leaky_relu(y, 1.0) if len(passes) > 6 else y  # changes no number

    with pytest.raises(UserError, match="calls different activations in each forward pass"):
        ask(Functional(more_and_more), x)


def test_deep_lift_of_a_batch_that_ends_in_softmax(x: torch.Tensor) -> None:
    """Captum's rule for softmax mixes the images of a batch."""
    act = nn.SiLU()
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), act, nn.Flatten(), nn.Linear(384, 4), act, nn.Softmax(1)
    ).eval()
    alone = [
        maps_for(MethodInputs(model, x[n : n + 1], (), Target(CLASSES[n : n + 1])), "deep_lift").maps
        for n in range(2)
    ]
    torch.testing.assert_close(ask(model, x).maps, torch.cat(alone), rtol=1e-3, atol=1e-7)


def test_lrp_names_what_has_no_rule(x: torch.Tensor) -> None:
    for call, name in ((F.gelu, "gelu"), (F.relu6, "ReLU6"), (nn.SiLU(), "SiLU")):
        with pytest.raises(
            UserError, match=rf"^LRP has no rule for a layer of this network \({name}\): use Integrated"
        ):
            ask(Functional(call), x, "lrp")
