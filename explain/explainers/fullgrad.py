"""FullGrad: what the input and every bias add to the score (Srinivas & Fleuret, NeurIPS 2019, arXiv:1905.00780)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.capture import gradients_of
from explain.explainers.scorer import WHOLE, each
from explain.target import Target

if TYPE_CHECKING:
    from explain.case import Case

BIASED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d)


def full_gradients(model: nn.Module, x: Tensor, target: Target) -> tuple[Tensor, list[Tensor]]:
    """x ∂y/∂x (N, C, H, W), and for every layer with a bias b, b ∂y/∂z of its output z. In a network of these layers, ReLUs and pooling
    their sum is the score."""
    gradient, found = gradients_of(model, x, target, lambda module: isinstance(module, BIASED) and bias_of(module) is not None)
    shares = []
    for module, g in found:
        bias = bias_of(module)
        assert bias is not None
        shares.append((g * bias.detach().reshape(1, -1, *[1] * (g.ndim - 2)) if g.ndim != 3 else g * bias.detach()).detach())
    return (x * gradient).detach(), shares


def bias_of(module: nn.Module) -> Tensor | None:
    """What a layer adds whatever its input is; of a batch norm that is not trained, β - γ μ / σ."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        if module.running_mean is None or module.running_var is None:
            return None
        scale = torch.rsqrt(module.running_var + module.eps) * (1 if module.weight is None else module.weight)
        return -module.running_mean * scale + (0 if module.bias is None else module.bias)
    return getattr(module, "bias", None)


def fullgrad(case: "Case") -> Tensor:
    """M = ψ(x ∂y/∂x) + Σ over layers of ψ(b ∂y/∂z), summed over channels; ψ: magnitude, scaled to [0, 1] in each layer, enlarged (bilinear)."""
    size = (case.x.shape[2], case.x.shape[3])

    def work(some: "Case") -> Tensor:
        image, shares = full_gradients(some.model, some.x, some.target)
        return sum((_scaled(layer, size) for layer in [image, *(share for share in shares if share.ndim == 4)]), torch.zeros(()))

    return each(case, work, WHOLE)


def _scaled(share: Tensor, size: tuple[int, int]) -> Tensor:
    values = share.abs()
    low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
    together = ((values - low) / (high - low + 1e-6)).sum(1, keepdim=True)  # before it is enlarged: the sum of enlarged maps is the same
    return F.interpolate(together, size, mode="bilinear", align_corners=True)[:, 0]
