"""Maps and regions at another resolution, by the areas of their cells."""

from collections.abc import Sequence

import torch
from torch import Tensor


def covered(count: int, low: Tensor, high: Tensor) -> Tensor:
    """For each of `count` equal cells of a side, the fraction of it that lies between `low` and `high`, as
    fractions of the side: (...) -> (..., count) float64."""
    left = torch.arange(count, dtype=torch.float64, device=low.device) / count
    low, high = low.double()[..., None], high.double()[..., None]
    return (torch.minimum(left + 1 / count, high) - torch.maximum(left, low)).clamp_min(0) * count


def resized(maps: Tensor, shape: Sequence[int]) -> Tensor:
    """Maps (..., H, W) -> (..., h, w) float64: every cell is the mean over the area that it covers. The mean
    over all positions stays."""
    if tuple(maps.shape[-2:]) == tuple(shape):
        return maps.double()
    down, across = (_weights(old, new, maps.device) for old, new in zip(maps.shape[-2:], shape, strict=True))
    return down @ maps.double() @ across.T


def _weights(old: int, new: int, device: torch.device) -> Tensor:
    """(new, old): how much of each new cell is each old cell."""
    at = torch.arange(new, dtype=torch.float64, device=device)
    return covered(old, at / new, (at + 1) / new) * new / old
