"""A layer's weights: dead and duplicate filters, orders, groups, against plain loops."""

import numpy as np
import pytest
import torch
from torch import nn

from explain.features.kernels import SORTS, kernels
from models.classifier import Classifier
from models.errors import UserError


def layer(weights: torch.Tensor, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(weights.shape[1] * groups, len(weights), tuple(weights.shape[2:]), groups=groups)  # type: ignore[arg-type]
    conv.weight.data = weights.clone()
    return nn.Sequential(conv)


@pytest.fixture
def weights() -> torch.Tensor:
    made = torch.randn(10, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    made[3] = made[7] * 2.5 + 1e-3
    made[5] *= 1e-4
    made[6] = 0
    return made


def test_dead_and_duplicates(weights: torch.Tensor) -> None:
    found = kernels(layer(weights), "0")
    assert np.flatnonzero(found.dead).tolist() == [5, 6]
    assert np.flatnonzero(found.duplicate).tolist() == [3, 7]
    assert (found.twin[3], found.twin[7]) == (7, 3)
    flat = weights.reshape(10, -1).numpy()
    for i in range(10):
        assert found.norms[i] == pytest.approx(sum(float(v) ** 2 for v in flat[i]) ** 0.5, rel=1e-5)
        others = [
            float(flat[i] @ flat[j] / max(np.linalg.norm(flat[i]) * np.linalg.norm(flat[j]), 1e-30))
            for j in range(10)
            if j != i
        ]
        assert found.cosine[i] == pytest.approx(max(others), abs=1e-5)
    norms = found.input_norms()
    assert norms[2, 1] == pytest.approx(float((weights[2, 1] ** 2).sum().sqrt()), rel=1e-5)


def test_orders(weights: torch.Tensor) -> None:
    found = kernels(layer(weights), "0")
    assert found.order(SORTS[0]).tolist() == list(range(10))
    assert found.order(SORTS[1]).tolist() == sorted(range(10), key=lambda i: -found.norms[i])
    chain = found.order(SORTS[2]).tolist()
    assert sorted(chain) == list(range(10))
    assert abs(chain.index(3) - chain.index(7)) == 1


def test_filters_of_groups_are_compared_within_them() -> None:
    same = torch.ones(6, 2, 3, 3)
    found = kernels(layer(same, groups=3), "0")
    assert found.twin.tolist() == [1, 0, 3, 2, 5, 4]
    assert found.inputs(5).tolist() == [4, 5]
    depthwise = kernels(layer(torch.ones(4, 1, 3, 3), groups=4), "0")
    assert not depthwise.duplicate.any()
    assert (depthwise.twin == -1).all()
    assert depthwise.pictures
    assert depthwise.inputs(2).tolist() == [2]


def test_many_filters_are_not_compared(monkeypatch: pytest.MonkeyPatch, weights: torch.Tensor) -> None:
    monkeypatch.setattr("explain.features.kernels.COMPARED", 10)
    found = kernels(layer(weights), "0")
    assert (found.twin == -1).all()
    assert not found.duplicate.any()


def test_dense_layers_and_layers_without_filters(tiny: Classifier) -> None:
    dense = kernels(tiny.model, "head")
    assert dense.weights.shape == (3, 12, 1, 1)
    assert not dense.pictures
    assert kernels(tiny.model, "features.0").pictures
    for name in ("features.1", "nowhere", ""):
        with pytest.raises(UserError, match="has no filters: choose a convolution or a dense layer"):
            kernels(tiny.model, name)
    zero = kernels(layer(torch.zeros(3, 2, 3, 3)), "0")
    assert zero.dead.all()
