"""A pair for small pictures: a convolutional and a fully connected network with as many parameters as each
other; and a still smaller convolutional one.

The two of the pair end in 256 features and the same linear head, so they are comparable for any number of
classes; neither has dropout, and both have batch-norm after every layer (Ioffe & Szegedy 2015). They differ
only in whether weights are shared between spatial positions.
"""

from collections import OrderedDict

from torch import nn

from models.architectures.layers import convolution

SIDE = 32
WIDTHS = (32, 64, 128, 256)
FEATURES = WIDTHS[-1]
TINY_SIDE, TINY_WIDTHS = 64, (16, 32, 64, 128)


def small_conv(outputs: int = 10) -> nn.Module:
    """Images (N, 3, 32, 32) in [0, 1] -> logits (N, outputs); four convolutions, maps end at (N, 256, 4, 4);
    0.39 M parameters."""
    return _convolutions(WIDTHS, outputs)


def tiny_conv(outputs: int = 10) -> nn.Module:
    """Images (N, 3, 64, 64) in [0, 1] -> logits (N, outputs); `small_conv` with half as many channels, for
    larger images: maps end at (N, 128, 8, 8); 0.10 M parameters."""
    return _convolutions(TINY_WIDTHS, outputs)


def _convolutions(widths: tuple[int, ...], outputs: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, width in zip((3, *widths), widths, strict=False):
        layers += [nn.MaxPool2d(2)] if layers else []
        layers += convolution(inputs, width)
    pooling = [("pooling", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    head = nn.Linear(widths[-1], outputs)
    return nn.Sequential(OrderedDict([("features", nn.Sequential(*layers)), *pooling, ("head", head)]))


def hidden_width() -> int:
    """Of `small_dense`'s first layer, such that its layers before the head have as many parameters as those
    of `small_conv`.

    A layer i -> o with batch-norm has (w·i + 2)·o parameters, w being 9 for a convolution of 3 × 3 and 1 for
    a dense one; so the width h solves (3·32·32 + 2)·h + (h + 2)·256 = total.
    """
    total = sum((9 * i + 2) * o for i, o in zip((3, *WIDTHS), WIDTHS, strict=False))
    return round((total - 2 * FEATURES) / (3 * SIDE * SIDE + 2 + FEATURES))


def small_dense(outputs: int = 10) -> nn.Module:
    """Images (N, 3, 32, 32) in [0, 1] -> logits (N, outputs); two hidden layers; 0.39 M parameters."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = hidden_width()
    for inputs, out in ((3 * SIDE * SIDE, width), (width, FEATURES)):
        layers += [nn.Linear(inputs, out, bias=False), nn.BatchNorm1d(out), nn.ReLU(inplace=True)]
    return nn.Sequential(
        OrderedDict([("features", nn.Sequential(*layers)), ("head", nn.Linear(FEATURES, outputs))])
    )
