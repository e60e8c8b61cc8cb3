"""The light AlexNet for facial expressions.

C. Hewitt, H. Gunes, *CNN-based Facial Affect Analysis on Mobile Devices*, 2018 (arXiv:1807.08775): network
A1.
"""

from torch import nn

from models.architectures.layers import FerNet, convolution, pooling

KERNELS, WIDTHS = (9, 7, 5, 3, 3), (16, 32, 64, 128, 128)


def fer_alexnet(outputs: int = 8) -> nn.Module:
    """Images (N, 3, 128, 128) in [0, 1] -> logits (N, outputs); 3.46 M parameters with 8 outputs."""
    blocks = [
        [*convolution(i, o, k), *pooling()] for i, o, k in zip((3, *WIDTHS), WIDTHS, KERNELS, strict=False)
    ]
    return FerNet([layer for block in blocks for layer in block], outputs)
