"""The light VGG for facial expressions.

C. Hewitt, H. Gunes, *CNN-based Facial Affect Analysis on Mobile Devices*, 2018 (arXiv:1807.08775): network A2.
"""

import torch
from torch import Tensor, nn


class GaussianDropout(nn.Module):
    """Multiplies by noise of mean 1 and variance p / (1 - p) while training (Srivastava et al. 2014, section 10)."""

    def __init__(self, p: float):
        super().__init__()
        self.std = (p / (1 - p)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.std * torch.randn_like(x)) if self.training else x


def conv3(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def block(inputs: int, outputs: int) -> list[nn.Module]:
    return [*conv3(inputs, outputs), *conv3(outputs, outputs), nn.MaxPool2d(2), GaussianDropout(0.2)]


def dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(0.5)]


class FerVGG(nn.Module):
    """Images (N, 3, 128, 128) in [0, 1] -> logits (N, outputs). 3.75 M parameters with 8 outputs."""

    widths = (16, 32, 64, 128, 128)

    def __init__(self, outputs: int = 8):
        super().__init__()
        pairs = zip((3, *self.widths), self.widths, strict=False)
        self.features = nn.Sequential(*(layer for pair in pairs for layer in block(*pair)))
        self.hidden = nn.Sequential(*dense(self.widths[-1] * 4 * 4, 1024), *dense(1024, 1024))
        self.head = nn.Linear(1024, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.features(x).flatten(1)))


def fer_vgg(outputs: int = 8) -> nn.Module:
    return FerVGG(outputs)
