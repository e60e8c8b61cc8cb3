"""A small network that predicts gaze from pixels: three convolutions of stride 2, four with growing dilation,
and a learned center bias.

The dilated context of F. Yu, V. Koltun, *Multi-Scale Context Aggregation by Dilated Convolutions*, 2016
(arXiv:1511.07122), distilled from a larger network (G. Hinton et al. 2015, arXiv:1503.02531): 0.3 M
parameters, small enough to be shipped.
"""

import torch
from torch import Tensor, nn

WIDTHS = (24, 48, 96)
DILATIONS = (1, 2, 4, 8)
INPUT, GRID = (192, 256), (24, 32)


class GazeSmall(nn.Module):
    """Images (N, 3, 192, 256) in [-1, 1] -> log densities (N, 24, 32), whose exponentials sum to 1. `prior`
    (24, 32): the bias to begin with."""

    def __init__(self, prior: Tensor | None = None):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, 5 if inputs == 3 else 3, 2, 2 if inputs == 3 else 1, bias=False),
                *_norm(outputs),
            ]
        for dilation in DILATIONS:
            layers += [
                nn.Conv2d(WIDTHS[-1], WIDTHS[-1], 3, padding=dilation, dilation=dilation, bias=False),
                *_norm(WIDTHS[-1]),
            ]
        self.features = nn.Sequential(*layers, nn.Dropout2d(0.1), nn.Conv2d(WIDTHS[-1], 1, 1))
        self.bias = nn.Parameter(torch.zeros(GRID) if prior is None else prior.clone())

    def forward(self, x: Tensor) -> Tensor:
        found = self.features(x)[:, 0] + self.bias
        return found.flatten(1).log_softmax(1).view_as(found)


def _norm(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
