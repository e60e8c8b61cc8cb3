"""Weights from a table have the mean and deviation of those that PyTorch draws."""

import pytest
import torch
from torch import nn

from tests.weights import NAMES, quick_weights


@pytest.mark.parametrize("name", NAMES)
def test_mean_and_deviation_are_those_of_pytorch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "uniform_": {"a": -0.2, "b": 0.5},
        "normal_": {"mean": 0.3, "std": 0.02},
        "trunc_normal_": {"std": 0.02},
        "kaiming_uniform_": {"a": 5**0.5},
        "kaiming_normal_": {"mode": "fan_out", "nonlinearity": "relu"},
    }.get(name, {})
    original = getattr(nn.init, name)
    expected = original(torch.empty(300, 40, 5, 5), **given)
    quick_weights(monkeypatch)
    first, second = (getattr(nn.init, name)(nn.Parameter(torch.empty(300, 40, 5, 5)), **given) for _ in "ab")
    first, second = first.detach(), second.detach()
    for found in (first, second):
        assert found.mean() == pytest.approx(float(expected.mean()), abs=2e-3)
        assert found.std() == pytest.approx(float(expected.std()), rel=0.02)
    assert (first == second).float().mean() < 0.01
    assert len(first.unique()) > 200_000
    torch.manual_seed(0)
    small = original(torch.empty(30, 40), **given)
    torch.manual_seed(0)
    assert torch.equal(getattr(nn.init, name)(torch.empty(30, 40), **given), small)
