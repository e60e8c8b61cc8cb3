"""SalNet: where people look, from pixels, by convolutions alone.

J. Pan, K. McGuinness, E. Sayrol, N. O'Connor, X. Giró-i-Nieto, *Shallow and Deep Convolutional Networks for
Saliency Prediction*, 2016 (arXiv:1603.00845): the deep network, layer by layer as its authors' prototxt has
it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FULL = (96, 256, 512, 512, 512, 256, 128, 32, 1)
HALF = (48, 128, 256, 256, 256, 128, 64, 16, 1)
KERNELS = (7, 5, 3, 5, 5, 7, 11, 11, 13)
INPUT, OUTPUT = (240, 320), (236, 316)


class SalNet(nn.Module):
    """Images (N, 3, 240, 320) in [-1, 1] -> maps (N, 236, 316). `widths`: channels of the nine
    convolutions."""

    def __init__(self, widths: Sequence[int] = HALF):
        super().__init__()
        layers: list[nn.Module] = []
        for i, (inputs, outputs, kernel) in enumerate(zip((3, *widths), widths, KERNELS, strict=False)):
            layers.append(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
            layers += [nn.ReLU(inplace=True)] if i < len(widths) - 1 else []
            layers += [nn.LocalResponseNorm(5, 1e-4, 0.75)] if i == 0 else []
            layers += [nn.MaxPool2d(3, 2)] if i < 2 else []
        self.features = nn.Sequential(*layers)
        self.up = nn.ConvTranspose2d(1, 1, 8, stride=4, padding=2, bias=False)
        self._begin()

    def _begin(self) -> None:
        """He's initialization; the last convolution N(0, 1e-5); the transposed one enlarges bilinearly."""
        convolutions = [m for m in self.features if isinstance(m, nn.Conv2d)]
        for layer in convolutions:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(convolutions[-1].weight, 0, 1e-5)
        line = 1 - (torch.arange(8) - 3.5).abs() / 4
        with torch.no_grad():
            self.up.weight.copy_(line[:, None] * line)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.features(x))[:, 0]
