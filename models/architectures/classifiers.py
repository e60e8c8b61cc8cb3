"""Classifiers of Vitrine by name: one entry each, one file each."""

from collections.abc import Callable

from torch import nn

from models.architectures.fer_alexnet import fer_alexnet
from models.architectures.fer_mobilenet import fer_mobilenet
from models.architectures.fer_vgg import fer_vgg
from models.architectures.small import SIDE, small_conv, small_dense

ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = {
    "fer_vgg": fer_vgg,
    "fer_alexnet": fer_alexnet,
    "fer_mobilenet": fer_mobilenet,
    "small_conv": small_conv,
    "small_dense": small_dense,
}
"""Name -> builder from the number of outputs."""

SIDES = {"small_conv": SIDE, "small_dense": SIDE}
"""Name -> side of the square input in pixels, where it is another than that of `UNIT`."""
