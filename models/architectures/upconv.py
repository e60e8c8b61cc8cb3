"""Decoders: from the output of one layer back to the image.

A. Dosovitskiy, T. Brox, *Inverting Visual Representations with Convolutional Networks*, 2016
(arXiv:1506.02753).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

UPS = (256, 128, 64, 32)
"""Channels of the up-convolutions before the last one, which outputs those of the image."""
DENSE, GRID = 4096, 4
SLOPE = 0.2


class UpConv(nn.Module):
    """`shape`: of the layer's output without the batch, (C, h, w) or (D,). `size` (H, W) and `channels`: of
    the network's input.

    Maps: three 3 × 3 convolutions, then up-convolutions 5 × 5 of stride 2, as many as come nearest to the
    input from below, five at most. A vector: three dense layers of 4,096, reshaped to 256 × 4 × 4, and five
    up-convolutions. Leaky ReLUs of 0.2; the output (N, channels, h', w') is upsampled to the input. `width`
    multiplies all channels: 1 is the published decoder. `depth`: layers before the up-convolutions; `ups`:
    number of up-convolutions, each of which doubles the layer's sides (or 4 × 4), 0 as above. `mean`, `std`:
    of every channel of the layer over the training's images, by which its output is standardized.
    """

    def __init__(
        self,
        shape: Sequence[int],
        size: tuple[int, int],
        channels: int = 3,
        width: float = 1.0,
        depth: int = 3,
        ups: int = 0,
    ):
        super().__init__()
        self.size, maps = size, len(shape) == 3
        self.register_buffer("mean", torch.zeros(shape[0]))
        self.register_buffer("std", torch.ones(shape[0]))
        self.mean: Tensor
        self.std: Tensor
        count = ups or (ups_of((shape[1], shape[2]), size) if maps else len(UPS) + 1)
        widths = [max(8, round(w * width)) for w in UPS][len(UPS) + 1 - count :]
        first = widths[0] if widths else max(8, round(UPS[0] * width))
        hidden = max(16, round(DENSE * width))
        self.begin = nn.Sequential(
            *(_convolutions(shape[0], first, depth) if maps else _dense(shape[0], hidden, first, depth))
        )
        layers: list[nn.Module] = []
        for inputs, outputs in zip([first, *widths], [*widths, channels], strict=False):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 5, 2, padding=2, output_padding=1),
                nn.LeakyReLU(SLOPE),
            ]
        self.ups = nn.Sequential(*layers[:-1])
        self.apply(_he)

    def forward(self, features: Tensor) -> Tensor:
        """(N, *shape) -> pictures (N, channels, H, W), as the network takes them."""
        view = (-1,) + (1,) * (features.ndim - 2)
        found = self.ups(self.begin((features.float() - self.mean.view(view)) / self.std.view(view)))
        return nn.functional.interpolate(found, self.size, mode="bilinear", align_corners=False)


def _he(module: nn.Module) -> None:
    """He's initialization for leaky ReLUs: with PyTorch's default, differences between images vanish over
    eight layers, and the decoder first learns the mean image. In an up-convolution of stride 2 a quarter of
    the kernel contributes to each pixel."""
    if isinstance(module, nn.ConvTranspose2d):
        nn.init.normal_(
            module.weight,
            0,
            math.sqrt(
                2 / (1 + SLOPE**2) / (module.in_channels * module.kernel_size[0] * module.kernel_size[1] / 4)
            ),
        )
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    elif isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, SLOPE)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def ups_of(positions: tuple[int, int], size: tuple[int, int]) -> int:
    """Doublings from the layer's positions to the input, rounded down; at least one, at most five."""
    return min(5, max(1, math.floor(math.log2(min(size[0] / positions[0], size[1] / positions[1])) + 1e-9)))


def _convolutions(inputs: int, width: int, depth: int) -> list[nn.Module]:
    return [
        layer
        for k in range(depth)
        for layer in (nn.Conv2d(inputs if k == 0 else width, width, 3, padding=1), nn.LeakyReLU(SLOPE))
    ]


def _dense(inputs: int, hidden: int, width: int, depth: int) -> list[nn.Module]:
    sizes = [inputs, *[hidden] * (depth - 1), width * GRID * GRID]
    return [
        *(layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(SLOPE))),
        nn.Unflatten(1, (width, GRID, GRID)),
    ]
