"""The imputation of whole cells against pytorch-grad-cam's exact solution, and against that of any mask."""

import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch import Tensor
from torch.nn import functional as F

from explain.quality.cells import as_pixels
from explain.quality.road import cell_imputation
from explain.quality.road.cell_elements import fits
from explain.quality.road.cell_imputation import CellImputer
from explain.quality.road.imputation import impute

Size = tuple[int, int]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(size: Size, grain: float = 0.2) -> Tensor:
    """Smooth noise with some grain, (1, 3, H, W)."""
    coarse = torch.randn(1, 3, size[0] // 12 + 2, size[1] // 12 + 2, generator=seeded(1))
    smooth = F.interpolate(coarse, size, mode="bicubic")
    return smooth + grain * torch.randn(1, 3, *size, generator=seeded())


def masks(grid: Size) -> dict[str, Tensor]:
    """Removed cells (g, h)."""
    made: dict[str, Tensor] = {}
    for percent in (5, 20, 50, 80, 95):
        made[f"cells {percent}"] = torch.rand(grid, generator=seeded(percent)) < percent / 100
        values = F.interpolate(torch.randn(1, 1, 4, 4, generator=seeded(percent)), grid, mode="bicubic")[0, 0]
        made[f"map {percent}"] = values < values.quantile(percent / 100)
    rows, columns = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
    made["checkers"] = (rows + columns) % 2 == 0
    made["frame"] = (rows == 0) | (columns == 0) | (rows == grid[0] - 1) | (columns == grid[1] - 1)
    for name, one in (("first", (0, 0)), ("last", (grid[0] - 1, grid[1] - 1)), ("inner", (1, 1))):
        made[f"{name} removed"] = torch.zeros(grid, dtype=torch.bool)
        made[f"{name} removed"][one] = True
        made[f"{name} kept"] = ~made[f"{name} removed"]
    return {name: mask for name, mask in made.items() if mask.any() and not mask.all()}


def imputed(x: Tensor, removed: Tensor) -> Tensor:
    """Without noise, (B, C, H, W)."""
    return CellImputer(x, (removed.shape[1], removed.shape[2]), torch.zeros_like(x))(removed)


CUTS = [((64, 64), (4, 4)), ((48, 80), (8, 10)), ((33, 50), (5, 7)), ((41, 9), (9, 2)), ((80, 24), (5, 6))]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "grid"), CUTS, ids=str)
def test_solves_the_equations_of_pytorch_grad_cam(
    size: Size, grid: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many steps, to the digits of float32."""
    monkeypatch.setattr(cell_imputation, "STEPS", 40)
    x = image(size)
    found = imputed(x, torch.stack(list(masks(grid).values())))
    for (name, removed), one in zip(masks(grid).items(), found, strict=True):
        keep = ~as_pixels(removed[None], size)[0]
        expected = NoisyLinearImputer(noise=0)(x[0], keep.float())
        assert float((one - expected).abs().max()) < 1e-4, name
        assert torch.equal(one[:, keep], x[0][:, keep]), name


@pytest.mark.slow
@pytest.mark.parametrize(("size", "grid"), [((224, 224), (14, 14)), ((128, 128), (14, 14))], ids=str)
def test_is_close_after_its_steps(size: Size, grid: Size) -> None:
    """The error is a less than the noise that ROAD adds; at the worst pixels, a few times as much."""
    x, removed = image(size), torch.stack(list(masks(grid).values()))
    keep = ~as_pixels(removed, size)
    error = (imputed(x, removed) - impute(x.expand(len(removed), -1, -1, -1), keep, noise=0)) / x.std()
    assert float(error.square().mean((1, 2, 3)).sqrt().max()) < 1e-2
    assert float(error.abs().max()) < 0.1


def test_noise_lies_on_removed_cells_only() -> None:
    x, removed = image((64, 64)), torch.stack(list(masks((4, 4)).values()))
    noise = torch.randn(x.shape, generator=seeded(7))
    away = as_pixels(removed, (64, 64))[:, None]
    added = CellImputer(x, (4, 4), noise)(removed) - imputed(x, removed)
    torch.testing.assert_close(added, torch.where(away, noise, 0), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_batch_is_the_loop_over_its_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, removed = image((33, 50)), torch.stack(list(masks((5, 7)).values()))
    one_by_one = torch.cat([imputed(x, mask[None]) for mask in removed])
    for together in (5, 1000):
        monkeypatch.setattr(cell_imputation, "TOGETHER", together)
        torch.testing.assert_close(imputed(x, removed), one_by_one, rtol=0, atol=1e-5)


def test_values_of_removed_pixels_have_no_influence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_imputation, "STEPS", 40)
    x, removed = image((48, 80)), masks((8, 10))["map 50"][None]
    other = torch.where(as_pixels(removed, (48, 80))[:, None], 3, x)
    torch.testing.assert_close(imputed(x, removed), imputed(other, removed), rtol=0, atol=1e-4)


def test_where_nothing_is_removed_the_image_is_unchanged() -> None:
    x, removed = image((64, 64)), torch.zeros(2, 4, 4, dtype=torch.bool)
    assert torch.equal(imputed(x, removed), x.expand(2, -1, -1, -1))
    removed[1, 2, 2] = True
    found = imputed(x, removed)
    assert torch.equal(found[:1], x)
    torch.testing.assert_close(found[1:], imputed(x, removed[1:]))


def test_a_constant_image_stays_constant() -> None:
    x, removed = torch.full((1, 3, 64, 64), 0.3), torch.stack(list(masks((4, 4)).values()))
    torch.testing.assert_close(imputed(x, removed), x.expand(len(removed), -1, -1, -1))


def test_cells_that_are_too_small_or_too_large_are_left_to_the_other_solver() -> None:
    for size, grid in (((224, 224), (14, 14)), ((128, 128), (14, 14)), ((48, 80), (8, 10))):
        assert fits(size, grid)
    for size, grid in (((20, 20), (14, 14)), ((1024, 1024), (14, 14)), ((64, 64), (1, 4))):
        assert not fits(size, grid)
