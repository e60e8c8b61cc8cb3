"""The light MobileNet for facial expressions.

C. Hewitt, H. Gunes, *CNN-based Facial Affect Analysis on Mobile Devices*, 2018 (arXiv:1807.08775): network
A3.
"""

from torch import Tensor, nn

from models.architectures.layers import convolution

SEPARABLE = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
"""(channels, stride) of each depthwise separable convolution."""


def separable(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [*convolution(inputs, inputs, 3, stride, groups=inputs), *convolution(inputs, outputs, 1)]


class FerMobileNet(nn.Module):
    """Images (N, 3, 128, 128) in [0, 1] -> logits (N, outputs); features end at (N, 1024, 4, 4)."""

    def __init__(self, outputs: int = 8):
        super().__init__()
        layers, inputs = convolution(3, 32, stride=2), 32
        for channels, stride in SEPARABLE:
            layers += separable(inputs, channels, stride)
            inputs = channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(x).mean((2, 3))))


def fer_mobilenet(outputs: int = 8) -> nn.Module:
    """3.22 M parameters with 8 outputs, 3.24 M with the running statistics of batch-norm."""
    return FerMobileNet(outputs)
