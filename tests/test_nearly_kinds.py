"""Outputs that are nearly probabilities: of 16 bits, rounded, or of another sum. The reference is a plain
loop of PyTorch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vitrine
from models.errors import UserError
from models.outputs.scores import ONE_SUM
from models.outputs.task import MULTI, with_task
from tests.test_output_kinds import FED, NAMES, answers, made, noise


class _Half(nn.Module):
    """Exact zeros and ones, in 16 bits."""

    def __init__(self, end: nn.Module, outputs: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.head, self.end, self.dtype = nn.Linear(3, outputs, bias=False), end, dtype
        nn.init.eye_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.head(x.mean((2, 3))) * 400 - 100).to(self.dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("task", ["single", "one", "several"])
def test_exact_zeros_of_16_bits_are_finite_scores(task: str, dtype: torch.dtype) -> None:
    net = _Half(nn.Softmax(1) if task == "single" else nn.Sigmoid(), 1 if task == "one" else 3, dtype).eval()
    x = torch.zeros(2, 3, 24, 24)
    x[0, 0], x[1, 1] = 1, 1
    with torch.no_grad():
        plain = net(x).double()
    assert set(plain.flatten().tolist()) == {0.0, 1.0}
    network = vitrine.wrap(net, ("no", "yes") if task == "one" else ("a", "b", "c"), FED)
    network = with_task(network, MULTI) if task == "several" else network
    with torch.no_grad():
        scores = network.model(x)
    assert scores.dtype == torch.float32
    assert scores.isfinite().all()
    expected = torch.cat([1 - plain, plain], 1) if task == "one" else plain
    torch.testing.assert_close(answers(network, x), expected, rtol=0, atol=1e-6)


class _Ends(nn.Module):
    """The network of `CODE` with another end."""

    def __init__(self, end: Any) -> None:
        super().__init__()
        self.net, self.end = made("logits"), end

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.end(self.net(x))
        return result


@pytest.mark.parametrize(
    ("end", "outputs", "whole", "record"),
    [
        (lambda z: (100 * z.softmax(1)).mul(10).round() / 10, "", 100, "percent"),
        (lambda z: (100 * z.softmax(1)).mul(10).round() / 10, "percent", 100, "percent"),
        (lambda z: 100.4 * z.softmax(1), "", 100, "percent"),
        (lambda z: 0.996 * z.softmax(1), "", 1, "probabilities"),
        (lambda z: 0.996 * z.softmax(1), "probabilities", 1, "probabilities"),
        (lambda z: 0.9995 * z.softmax(1), "", 1, ""),
        (lambda z: (100 * z.softmax(1)).round(), "percent", 100, "percent"),
        (lambda z: 0.985 * z.softmax(1), "probabilities", 1, "probabilities"),
    ],
)
def test_rounded_probabilities(end: Any, outputs: str, whole: float, record: str) -> None:
    x, net = noise(), _Ends(end).eval()
    network = vitrine.wrap(net, NAMES[3], FED, outputs=outputs)
    with torch.no_grad():
        rows = torch.cat([net(image[None]).double() for image in x]) / whole
    expected = rows / rows.sum(1, keepdim=True)
    torch.testing.assert_close(answers(network, x), expected, rtol=0, atol=1e-6)
    assert network.output_kind == record
    with pytest.raises(UserError, match="sum to 1"):
        with_task(network, MULTI)


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_too_far_from_the_whole(factor: float) -> None:
    net = _Ends(lambda z: 100 * factor * z.softmax(1)).eval()
    with pytest.raises(UserError, match="not to 100"):
        vitrine.wrap(net, NAMES[3], FED, outputs="percent")


@pytest.mark.parametrize(
    ("end", "named"),
    [
        (lambda z: z.softmax(1) + (z / 2).softmax(1), True),
        (lambda z: 0.9 * z.softmax(1), True),
        (lambda z: 255 * z.softmax(1), True),
        (lambda z: z.relu() + 1, False),
        (lambda z: z, False),
        (lambda z: z.sigmoid(), False),
        (lambda z: z.softmax(1), False),
        (lambda z: 0 * z + 1, False),
    ],
)
def test_one_sum_that_is_no_whole_is_named(end: Any, named: bool) -> None:
    network = vitrine.wrap(_Ends(end).eval(), NAMES[3], FED)
    assert (ONE_SUM in " ".join(network.notes)) == named
    if named:
        assert ONE_SUM not in " ".join(with_task(network, MULTI).notes)
