"""How spread out or concentrated a map is. These describe a map, and are no measures of its quality: a wrong
map may be simple."""

import torch
from torch import Tensor


def entropy(maps: Tensor) -> Tensor:
    """-Σ p log p in nats with p = |M| / Σ |M| (Bhatt et al. 2020, arXiv:2005.00631); maps (N, h, w) -> (N,)
    float64.

    0: one position has everything; log(h·w): all magnitudes are equal, so maps of different resolution differ
    in range. NaN for maps of zeros, and for those with NaN or infinite values.
    """
    return torch.special.entr(_fractions(maps)).sum(1)


def gini(maps: Tensor) -> Tensor:
    """Gini index of the magnitudes, Σ_i (2i - n - 1) |M|_(i) / (n Σ |M|) with |M| in ascending order
    (Chalasani et al. 2020, arXiv:1810.06583); maps (N, h, w) -> (N,) float64 in [0, 1 - 1/n].

    0: all magnitudes are equal. NaN as in `entropy`.
    """
    p = _fractions(maps).sort(1).values
    n = p.shape[1]
    weights = 2 * torch.arange(1, n + 1, device=maps.device) - n - 1
    return (weights * p).sum(1) / n


def _fractions(maps: Tensor) -> Tensor:
    """|M| / Σ |M|, (N, h·w); NaN where the sum is 0 or not finite."""
    magnitudes = maps.double().abs().flatten(1)
    total = magnitudes.sum(1, keepdim=True)
    return (magnitudes / total).masked_fill(~total.isfinite(), float("nan"))
