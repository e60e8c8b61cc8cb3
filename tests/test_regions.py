"""Regions of the image that are taken away: known answers of a linear score, and how pictures are cut."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explain.methods.inputs import MethodInputs
from explain.methods.rise import rise
from explain.methods.segments import segments
from explain.network.target import Target
from models.errors import UserError
from tests.test_attribution import CLASSES, ask


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(6))


class Sum(nn.Module):
    """Linear: class k is the sum of the pixels times its weights; contributions of regions are known
    exactly."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 3, 24, 24))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nchw,kchw->nk", x, self.weight) + 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grid", "superpixels"])
@pytest.mark.parametrize("name", ["feature_ablation", "kernel_shap", "lime"])
def test_regions_of_a_linear_score(name: str, kind: str, x: torch.Tensor) -> None:
    """What a region adds is the sum over it; LIME's ridge only shrinks it, and keeps the order."""
    model, x = (
        Sum(),
        F.avg_pool2d(x, 5, 1, 2) + torch.linspace(-1, 1, 24),
    )  # so that there is something to find regions in
    maps = ask(model, x, name, kind=kind, count=9, **({} if name == "feature_ablation" else {"samples": 200}))
    for n in range(2):
        mask = segments(x[n], kind, 9)
        assert 3 < int(mask.max()) < 40
        contribution = (x[n] * model.weight[CLASSES[n]]).sum(0).detach()
        exact = torch.zeros(int(mask.max()) + 1).index_add(0, mask.flatten(), contribution.flatten())
        found = torch.zeros(len(exact)).index_add(0, mask.flatten(), maps[n].flatten())
        if name == "lime":
            assert torch.corrcoef(torch.stack([found, exact]))[0, 1] > 0.98
            model.weight.data *= 1e-3  # the map of small scores is the same, smaller
            small = ask(model, x, name, kind=kind, count=9, samples=200)
            torch.testing.assert_close(1e3 * small, maps, rtol=1e-2, atol=1e-2 * float(maps.abs().max()))
            model.weight.data *= 1e3
        else:
            torch.testing.assert_close(found, exact, rtol=2e-2, atol=2e-2)


def test_rise_is_the_mean_of_masks_by_their_probabilities(x: torch.Tensor) -> None:
    """Mask by mask, in a plain loop; batches of another size give the same map."""
    model = Sum()
    model.weight.data *= 0.05
    maps = ask(model, x, "rise", samples=60, cells=4, kept=0.4, seed=3)
    generator = torch.Generator().manual_seed(3)
    grids = (torch.rand(60, 1, 4, 4, generator=generator) < 0.4).float()
    shifts = torch.rand(60, 2, generator=generator)
    for n in range(2):
        expected = torch.zeros(24, 24)
        for grid, (down, right) in zip(grids, shifts, strict=True):
            large = F.interpolate(grid[None], (30, 30), mode="bilinear", align_corners=False)[0, 0]
            mask = large[int(down * 6) :, int(right * 6) :][:24, :24]
            with torch.no_grad():
                probability = model(x[n : n + 1] * mask).softmax(1)[0, CLASSES[n]]  # the baseline is 0
            expected += probability * mask
        torch.testing.assert_close(maps[n], expected / (60 * 0.4), rtol=1e-4, atol=1e-5)
    inputs = MethodInputs(model, x, (), Target(CLASSES[:2]), batch_size=7)
    torch.testing.assert_close(rise(inputs, samples=60, cells=4, kept=0.4, seed=3), maps)


def test_rise_finds_the_only_part_that_counts() -> None:
    """The class is recognized by a square of 8 pixels: the map is highest there."""

    class Corner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(4.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = self.gain * x[:, :, 4:12, 12:20].mean((1, 2, 3))
            return torch.stack([seen, -seen, 0 * seen, 0 * seen], 1)

    ones = torch.ones(1, 3, 24, 24)
    (found,) = ask(Corner(), ones, "rise", samples=800, classes=torch.tensor([0]))
    inside, outside = found[4:12, 12:20].mean(), found[14:, :10].mean()
    assert inside > outside + 0.03
    row, column = divmod(int(found.argmax()), 24)
    assert 3 <= row <= 12
    assert 11 <= column <= 20


def test_segments_are_numbered_without_gaps(x: torch.Tensor) -> None:
    grid = segments(x[0], "grid", 16)
    assert grid.unique().tolist() == list(range(16))
    assert torch.equal(grid[:6, :6], torch.zeros(6, 6, dtype=torch.long))
    wide = segments(torch.rand(1, 20, 40), "grid", 8)  # in proportion: two rows of four
    assert wide.unique().tolist() == list(range(8))
    found = segments(x[0], "superpixels", 16)
    assert found.unique().tolist() == list(range(int(found.max()) + 1))
    with pytest.raises(UserError, match="superpixels, grid"):
        segments(x[0], "hexagons", 16)
