"""Random views of a batch: the ranges of Hewitt & Gunes 2018 (rotation, shift, mirror), each image its own."""

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION, SHIFT, ZOOM = 0.26, 0.08, 0.1  # radians, share of the width, share


def augment(x: Tensor) -> Tensor:
    """(N, C, h, w) -> the same shape; draws from torch's global generator."""
    n = len(x)

    def uniform(bound: float) -> Tensor:
        return (torch.rand(n) * 2 - 1) * bound

    angle, scale = uniform(ROTATION), 1 + uniform(ZOOM)
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos * mirror, -sin, uniform(2 * SHIFT)], 1), torch.stack([sin * mirror, cos, uniform(2 * SHIFT)], 1)]
    theta = torch.stack(rows, 1).to(x)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
