"""Networks that run one module several times in a pass: the same maps as with separate modules."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

from explain.methods.inputs import MethodInputs, Passes
from explain.methods.registry import METHODS
from explain.methods.rerun import logits_with
from explain.network.hooks import capture
from explain.network.target import Target
from explain.network.target_layers import default_layer, map_layers
from models.errors import UserError
from tests.maps import ATTENTION, maps_for
from tests.networks import ACTIVATIONS, CLASSES, Net, one_activation, one_block, state

FEW = {"samples": 10, "count": 6, "steps": 3, "window": 0.4, "stride": 1.0, "top": 3}
NOISY = {"smooth_grad": {"samples": 3}, "gradient_shap": {"samples": 4}}
OF_RELUS = {"guided_backprop", "deconvolution", "guided_grad_cam"}
pytestmark = pytest.mark.filterwarnings("ignore:Maximum number of iterations")  # in Concept regions


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(6))


def attempt(
    model: nn.Module, x: torch.Tensor, layers: str, name: str, passes: Passes | None = None
) -> torch.Tensor | str:
    given = {p.name: FEW[p.name] for p in METHODS[name].parameters if p.name in FEW} | NOISY.get(name, {})
    inputs = MethodInputs(model, x, tuple(layers.split()), Target(CLASSES), _passes=passes)
    try:
        return maps_for(inputs, name, given).maps
    except UserError as error:
        return str(error)


def refused(shared: nn.Module, separate: nn.Module, x: torch.Tensor, layers: dict[str, str]) -> set[str]:
    """Every method gives equal maps of the two networks, at layers {of the first: of the second}, or the same
    reason.

    Returns the names of the methods that gave a reason, without those of attention.
    """
    lines, (first, second) = set(), (Passes(shared, x), Passes(separate, x))
    for name, method in METHODS.items():
        for layer, same in layers.items() if method.layered else (("", ""),):
            ours, theirs = attempt(shared, x, layer, name, first), attempt(separate, x, same, name, second)
            if isinstance(ours, str) or isinstance(theirs, str):
                assert isinstance(theirs, str), ours
                assert ours == theirs.replace(f"'{same}'", f"'{layer}'")
                assert "\n" not in theirs
                lines.add(name)
                continue
            assert ours.isfinite().all(), name
            assert ours.abs().sum() > 0 or name in ("fem", "guided_grad_cam"), name
            tolerance = 1e-4 * float(theirs.abs().max())
            message = lambda text, name=name: f"{name}: {text}"  # noqa: E731
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=tolerance, msg=message)
    assert lines >= ATTENTION  # these networks have none
    return lines - ATTENTION


@pytest.mark.parametrize(
    "kind",
    [k if k == "ReLU" else pytest.param(k, marks=pytest.mark.slow) for k in ACTIVATIONS],
)
def test_every_method_with_one_activation(kind: str, x: torch.Tensor) -> None:
    """At the shared activation, which also runs on vectors; at a layer in front of it and at two layers of
    those in place, not in place, with negative outputs and with parameters: there only gradients differ."""
    shared, separate = one_activation(kind)
    before, layers = state(shared), {"act0": "act3"}
    if kind in ("ReLU", "LeakyReLU", "GELU", "ELU", "PReLU"):
        layers |= {"right": "right", "right act0": "right act3"}
    lines = refused(shared, separate, x, layers)
    assert state(shared) == before
    assert lines == {"cam", "lrp"} | (set() if kind in ("ReLU", "ReLU6") else OF_RELUS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ReLU", "Tanh", "GELU"])
def test_every_method_with_one_block(kind: str, x: torch.Tensor) -> None:
    """Convolution and batch norm run twice, too, and a pooling with windows that overlap."""
    lines = refused(*one_block(kind), x, {"first": "second", "first.0": "second.0", "pool": "pool"})
    assert lines == {"ReLU": {"cam"}, "Tanh": {"cam", *OF_RELUS}, "GELU": {"cam", "lrp", *OF_RELUS}}[kind]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("passes", [0, 1, 2, 6])
def test_left_as_found_where_it_breaks(name: str, passes: int, x: torch.Tensor) -> None:
    """In the last run of the shared module, in the first pass or a later one."""
    act, runs = nn.LeakyReLU(0.2, inplace=True), []
    model = Net([act] * 5).train()
    model.left.eval(), model.stem.requires_grad_(False)
    model.head.weight.grad = torch.ones(4, 6)
    before, forward = state(model), nn.LeakyReLU.forward

    class Breaking(nn.LeakyReLU):
        def forward(self, y: torch.Tensor) -> torch.Tensor:
            runs.append(1)
            if len(runs) > 5 * passes + 4:
                raise ZeroDivisionError
            return forward(self, y)

    act.__class__ = Breaking
    with suppress(ZeroDivisionError):
        attempt(model, x, "act0", name)
    act.__class__ = nn.LeakyReLU
    assert runs
    assert state(model) == before


def with_run(
    model: nn.Module, act: nn.Module, run: int, change: Callable[[Any], Any], x: torch.Tensor
) -> torch.Tensor:
    """The network's logits with a changed output of `act` at one of its runs."""
    runs: list[int] = []

    def hook(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor | None:
        runs.append(1)
        return change(output.clone()) if len(runs) == run else None

    handle = act.register_forward_hook(hook)
    with torch.no_grad():
        logits = model(x)
    handle.remove()
    return logits  # type: ignore[no-any-return]


def test_ablation_and_recipro_cam_by_a_plain_loop(x: torch.Tensor) -> None:
    """Of the five runs, the fourth is the last on maps."""
    model = one_activation("SiLU")[0]
    captured, case = capture(model, x, "act0"), MethodInputs(model, x, ("act0",), Target(CLASSES))
    assert captured.turns == (4,)
    assert torch.equal(
        captured.activation, capture(model, x, "act3").activation
    )  # another name of the same module
    ablation, recipro = (
        maps_for(case, "ablation_cam").maps,
        maps_for(case, "recipro_cam", {"gaussian": False}).maps,
    )
    for n, k in enumerate(CLASSES.tolist()):
        y, expected = captured.logits[n, k], torch.zeros(4, 4)
        for channel in range(6):
            keep = torch.ones(6, 1, 1).index_fill(0, torch.tensor(channel), 0)
            without = with_run(model, model.act0, 4, lambda a, keep=keep: a * keep, x[n : n + 1])[0, k]
            expected += (y - without) / y.abs() * captured.activation[n, channel]
        torch.testing.assert_close(ablation[n], expected, rtol=1e-4, atol=1e-6)
        for i in range(4):
            for j in range(4):
                alone = torch.zeros(4, 4)
                alone[i, j] = 1
                logits = with_run(model, model.act0, 4, lambda a, alone=alone: a * alone, x[n : n + 1])
                torch.testing.assert_close(recipro[n, i, j], logits.softmax(1)[0, k], rtol=1e-4, atol=1e-6)


def test_gradient_by_finite_differences(x: torch.Tensor) -> None:
    """With respect to the last run on maps alone."""
    model = one_activation("GELU")[0]
    found = capture(model, x, "act0").gradient(CLASSES)
    for c, i, j in ((0, 0, 0), (3, 1, 2), (5, 3, 3)):
        step = torch.zeros(6, 4, 4)
        step[c, i, j] = 1e-2
        up, down = (with_run(model, model.act0, 4, lambda a, s=s: a + s, x) for s in (step, -step))
        change = (up - down).gather(1, CLASSES[:, None])[:, 0] / 2e-2
        torch.testing.assert_close(found[:, c, i, j], change, rtol=1e-2, atol=1e-5)


class Gated(nn.Module):
    """One activation on vectors, on maps, on a single position in a gate, and on vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(9)
        self.act, self.hidden, self.head = nn.SiLU(), nn.Linear(3, 3), nn.Linear(6, 4)
        self.stem, self.gate = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.stem(x) + self.act(self.hidden(x.mean((2, 3)))).mean())
        y = y * self.act(self.gate(y.mean((2, 3), keepdim=True)))
        return self.head(self.act(y.mean((2, 3))))


def test_which_run_counts(x: torch.Tensor) -> None:
    """The last with more than one spatial position; if there is none, the last with one."""
    model = Gated().eval()
    captured = capture(model, x, ["act", "gate"])
    assert captured.turns == (2, 1)
    assert [a.shape[2:] for a in captured.activations] == [(8, 8), (1, 1)]
    assert [layer.name for layer in map_layers(model, x)] == ["stem", "act"]
    assert default_layer(model, x) == "act"
    made = {name: attempt(model, x, "act", name) for name in METHODS}
    assert {name for name, maps in made.items() if isinstance(maps, str)} == (
        OF_RELUS | {"cam", "lrp"} | ATTENTION
    )
    for name, maps in made.items():
        assert isinstance(maps, str) or maps.shape[1:] == ((8, 8) if METHODS[name].coarse else (16, 16))
    torch.testing.assert_close(
        attempt(model, x, "act", "layer_grad_cam"), attempt(model, x, "act", "grad_cam")
    )
    zeros = logits_with(model, x[:1], "act", lambda a: 0 * a)
    torch.testing.assert_close(zeros, with_run(model, model.act, 2, lambda a: 0 * a, x[:1]))


def test_a_shared_layer_without_maps(x: torch.Tensor) -> None:
    act = nn.SiLU()
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 4))
    for name in ("grad_cam", "ablation_cam", "score_cam", "finer_cam", "layer_grad_cam"):
        assert str(attempt(model, x, "2", name)).startswith(
            "Layer '2' outputs (2, 6): maps need a layer with"
        )
