"""What the light FER networks are built from (Hewitt & Gunes 2018): every convolution and dense layer without
bias, with batch-norm and ReLU; Gaussian dropout after pooling, dropout after dense layers."""

import torch
from torch import Tensor, nn


class GaussianDropout(nn.Module):
    """Multiplies by noise of mean 1 and variance p / (1 - p) while training (Srivastava et al. 2014, section
    10)."""

    def __init__(self, p: float):
        super().__init__()
        self.std = (p / (1 - p)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        # drawn in the order in which channels_last memory lies: torch fills contiguous float32 five times
        # faster
        pictures = x.ndim == 4
        noise = torch.randn((x.permute(0, 2, 3, 1) if pictures else x).shape, device=x.device)
        return x * (1 + self.std * (noise.permute(0, 3, 1, 2) if pictures else noise)).to(x)


def convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution, batch-norm, ReLU; keeps the size at stride 1."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def pooling() -> list[nn.Module]:
    return [nn.MaxPool2d(2), GaussianDropout(0.2)]


def dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
    ]


class FerNet(nn.Module):
    """`features` (N, 3, 128, 128) -> (N, 128, 4, 4), two dense layers of 1024, and a linear head."""

    def __init__(self, features: list[nn.Module], outputs: int):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.hidden = nn.Sequential(*dense(128 * 4 * 4, 1024), *dense(1024, 1024))
        self.head = nn.Linear(1024, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.features(x).flatten(1)))
