"""Gaze from the features of a network that was trained to classify: 1 × 1 convolutions, a blur, and the log
density of the center bias.

The idea of DeepGaze I and II (M. Kümmerer et al. 2015, arXiv:1411.1045; 2016, arXiv:1610.01563). The output
is a log density.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = (32, 16)


class Backbone(nn.Module):
    """Images (N, 3, H, W) -> one tensor (N, C, h, w) per layer of `network`, at its own resolution, each
    channel standardized by `mean` and `std` of the training images. `network`: a frozen feature extractor
    that returns a dict of layers."""

    def __init__(self, network: nn.Module, layers: Sequence[str], widths: Sequence[int]):
        super().__init__()
        self.network, self.layers = network, list(layers)
        self.mean = nn.ParameterList([nn.Parameter(torch.zeros(c), requires_grad=False) for c in widths])
        self.std = nn.ParameterList([nn.Parameter(torch.ones(c), requires_grad=False) for c in widths])

    def forward(self, x: Tensor) -> list[Tensor]:
        found = self.network(x)
        return [
            (found[name].float() - mean[:, None, None]) / std[:, None, None]
            for name, mean, std in zip(self.layers, self.mean, self.std, strict=True)
        ]


class Readout(nn.Module):
    """Standardized features -> log densities (N, h, w), whose exponentials sum to 1. The first 1 × 1
    convolution runs at each layer's own resolution and its output is upsampled and summed: the same as
    convolving upsampled features, at a tenth of the cost. `prior` (h, w): log density of the training's
    fixations, whose weight is learned, beginning at 1."""

    def __init__(self, widths: Sequence[int], prior: Tensor, dropout: float = 0.3, spread: float = 1.5):
        super().__init__()
        self.drop = nn.Dropout2d(dropout)
        self.first = nn.ModuleList([nn.Conv2d(c, HIDDEN[0], 1, bias=not i) for i, c in enumerate(widths)])
        self.rest = nn.Sequential(
            nn.Softplus(), nn.Conv2d(*HIDDEN, 1), nn.Softplus(), nn.Conv2d(HIDDEN[1], 1, 1)
        )
        self.spread = nn.Parameter(torch.tensor(spread))  # of the blur, in positions
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("prior", prior)
        self.prior: Tensor

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        size = self.prior.shape
        parts = [
            F.interpolate(layer(self.drop(x)), size, mode="bilinear", align_corners=False)
            for layer, x in zip(self.first, features, strict=True)
        ]
        found = self._blurred(self.rest(torch.stack(parts).sum(0))) + self.weight * self.prior
        return found.flatten(1).log_softmax(1).view(found.shape[0], *size)

    def _blurred(self, x: Tensor) -> Tensor:
        reach = 4 + 2 * (min(self.prior.shape) // 40)  # 9 × 9 on a grid of 30 × 40
        at = torch.arange(-reach, reach + 1, device=x.device)
        line = torch.exp(-(at**2) / (2 * self.spread.clamp_min(0.1) ** 2))
        kernel = (line / line.sum()).to(x)
        padded = F.pad(x, (reach,) * 4, mode="replicate")
        return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]


class GazeReadout(nn.Module):
    """Backbone and readout in one: images (N, 3, H, W) -> log densities (N, h, w)."""

    def __init__(self, backbone: Backbone, readout: Readout):
        super().__init__()
        self.backbone, self.readout = backbone, readout

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.backbone(x))
