"""How similar two maps of one image are, whatever their scale: rank correlation and structural similarity."""

import torch
from torch import Tensor
from torch.nn import functional as F

from explain.quality.flags import FLAT

WINDOW = 7


def is_flat(maps: Tensor) -> Tensor:
    """Maps (..., h, w) -> (...) bool: all values are equal, up to rounding. Not those with NaN or infinite
    values."""
    flat = maps.flatten(-2).double()
    largest = flat.abs().amax(-1)
    return (flat.amax(-1) - flat.amin(-1) <= FLAT * largest) & largest.isfinite()


def ranks(values: Tensor) -> Tensor:
    """(..., n) -> (..., n) float64: the rank of each value among the n, from 1; equal values share the mean
    of their ranks."""
    values = values.contiguous()
    ordered = values.sort(-1).values
    below = torch.searchsorted(ordered, values)
    upto = torch.searchsorted(ordered, values, right=True)
    return (below + upto + 1).double() / 2


def standardized_ranks(maps: Tensor, absolute: bool = False) -> Tensor:
    """Maps (..., h, w) -> (..., h·w) float64: ranks with mean 0 and length 1, whose products are Spearman's
    correlations. NaN for flat maps, and for those with NaN or infinite values."""
    maps = maps.abs() if absolute else maps
    undefined = is_flat(maps) | ~maps.isfinite().flatten(-2).all(-1)
    centered = ranks(maps.flatten(-2))
    centered = centered - centered.mean(-1, keepdim=True)
    unit = centered / centered.norm(dim=-1, keepdim=True)
    return unit.masked_fill(undefined[..., None], float("nan"))


def spearman(a: Tensor, b: Tensor, absolute: bool = False) -> Tensor:
    """Spearman's rank correlation of maps (..., h, w) with maps of the same shape: (...) float64 in [-1, 1].

    `absolute`: of their magnitudes, so that a map with its sign changed is the same. NaN where one of the two
    is flat, or holds NaN or infinite values.
    """
    return (standardized_ranks(a, absolute) * standardized_ranks(b, absolute)).sum(-1)


def scaled(maps: Tensor) -> Tensor:
    """Maps (..., h, w) divided by the root of their mean square, in float64; zeros stay. As Quantus does
    before it compares maps of different networks."""
    maps = maps.double()
    size = maps.square().mean((-2, -1), keepdim=True).sqrt()
    return torch.where(size > 0, maps / size, maps)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of maps (N, h, w) with maps of the same shape, each `scaled`:
    (N,) float64.

    Mean over windows of 7 × 7, or as large as the map where it is smaller, with K1 = 0.01, K2 = 0.03, sample
    covariances and the joint range of both maps, as `skimage.metrics.structural_similarity` in Quantus. NaN
    for maps with a side below 3, and where one of the two is flat, or holds NaN or infinite values.
    """
    undefined = is_flat(a) | is_flat(b) | ~(a.isfinite() & b.isfinite()).flatten(1).all(1)
    side = min(WINDOW, *a.shape[1:])
    side -= 1 - side % 2
    if side < 3:
        return torch.full((len(a),), float("nan"), dtype=torch.float64, device=a.device)
    x, y = scaled(a), scaled(b)
    both = torch.stack([x, y]).flatten(2)
    span = (both.amax((0, 2)) - both.amin((0, 2)))[:, None, None]
    mean_x, mean_y, xx, yy, xy = (
        F.avg_pool2d(values[:, None], side, 1)[:, 0] for values in (x, y, x * x, y * y, x * y)
    )
    sample = side**2 / (side**2 - 1)
    var_x, var_y = sample * (xx - mean_x**2), sample * (yy - mean_y**2)
    covariance = sample * (xy - mean_x * mean_y)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    local = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    local = local / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return local.mean((1, 2)).masked_fill(undefined, float("nan"))
