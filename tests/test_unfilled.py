"""Networks that are filled from a file are built without random numbers, and are the same."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import checkpoints, registry
from models.preprocessing import Preprocessing
from models.sources.unfilled import unfilled


@pytest.mark.parametrize(
    "name",
    [
        "tiny_conv",
        "small_dense",
        "shufflenet_v2_x0_5",
        "timm:lcnet_050",
        "timm:test_vit",
        "timm:test_efficientnet",
    ],
)
def test_parameters_and_buffers_are_those_of_a_network_that_was_filled_at_random(name: str) -> None:
    build = registry.spec(name).build
    torch.manual_seed(0)
    expected, seed = build(None), torch.get_rng_state()
    state = {key: tensor.clone() for key, tensor in expected.state_dict().items()}
    found = build(None, state.keys())
    assert torch.equal(torch.get_rng_state(), seed)
    assert not torch.equal(torch.manual_seed(0).get_state(), seed)
    checkpoints.fit(found, state, name)
    for ours, theirs in (
        (dict(found.named_parameters()), dict(expected.named_parameters())),
        (dict(found.named_buffers()), dict(expected.named_buffers())),
    ):
        assert list(ours) == list(theirs)
        for key, tensor in theirs.items():
            assert torch.equal(ours[key], tensor), key
            assert ours[key].requires_grad == tensor.requires_grad
            assert ours[key].is_contiguous() == tensor.is_contiguous()
    assert all(isinstance(p, nn.Parameter) for p in found.parameters())


class Reservoir(nn.Module):
    """Of a person: its fixed random weights are in no file."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.fixed = [nn.Parameter(nn.init.kaiming_uniform_(torch.empty(6, 3)), requires_grad=False)]
        nn.init.normal_(self.fixed[0])
        self.head = nn.Linear(6, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.mean((2, 3)) @ self.fixed[0].T).relu())


def test_a_persons_own_network_is_built_as_it_is_written(tmp_path: Path) -> None:
    registry.register_model(
        "reservoir", Reservoir, ["a", "b", "c"], Preprocessing((16, 16), None, (0.5,) * 3, (0.5,) * 3)
    )
    try:
        model, x = Reservoir().eval(), torch.randn(2, 3, 16, 16)
        nn.init.normal_(model.head.weight)
        torch.save(model.state_dict(), tmp_path / "net.pt")
        loaded = registry.load("reservoir", tmp_path / "net.pt").model
        torch.testing.assert_close(loaded(x), model(x))
    finally:
        registry.unregister_model("reservoir")


def test_only_parameters_stay_unfilled_and_only_in_the_block() -> None:
    with unfilled({"weight"}):
        weight = nn.Parameter(torch.full((3, 4), 7.0))
        assert nn.init.trunc_normal_(weight, std=2.0) is weight
        assert nn.init.kaiming_uniform_(tensor=weight) is weight
        assert torch.equal(weight, torch.zeros(3, 4))
        assert len(torch.zeros(50).uniform_().unique()) > 40
        assert torch.equal(nn.BatchNorm2d(3).weight, torch.ones(3))
    assert len(nn.init.normal_(weight).unique()) == 12
    with unfilled(None):
        assert len(nn.Linear(3, 4).weight.unique()) == 12
