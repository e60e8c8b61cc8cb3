"""The light VGG for facial expressions.

C. Hewitt, H. Gunes, *CNN-based Facial Affect Analysis on Mobile Devices*, 2018 (arXiv:1807.08775): network
A2.
"""

from torch import nn

from models.architectures.layers import FerNet, convolution, pooling

WIDTHS = (16, 32, 64, 128, 128)


def fer_vgg(outputs: int = 8) -> nn.Module:
    """Images (N, 3, 128, 128) in [0, 1] -> logits (N, outputs); 3.75 M parameters with 8 outputs."""
    blocks = [
        [*convolution(i, o), *convolution(o, o), *pooling()]
        for i, o in zip((3, *WIDTHS), WIDTHS, strict=False)
    ]
    return FerNet([layer for block in blocks for layer in block], outputs)
