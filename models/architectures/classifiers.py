"""Classifiers of Vitrine by name: one entry each, one file each."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from models.architectures.fer_alexnet import fer_alexnet
from models.architectures.fer_mobilenet import fer_mobilenet
from models.architectures.fer_vgg import fer_vgg
from models.architectures.small import SIDE, TINY_SIDE, small_conv, small_dense, tiny_conv


@dataclass(frozen=True)
class Architecture:
    """`build`: from the number of outputs to a network. `side`: of its square input, in pixels."""

    build: Callable[[int], nn.Module]
    side: int = 128

    def __call__(self, outputs: int) -> nn.Module:
        return self.build(outputs)


ARCHITECTURES: dict[str, Architecture] = {
    "fer_vgg": Architecture(fer_vgg),
    "fer_alexnet": Architecture(fer_alexnet),
    "fer_mobilenet": Architecture(fer_mobilenet),
    "small_conv": Architecture(small_conv, SIDE),
    "small_dense": Architecture(small_dense, SIDE),
    "tiny_conv": Architecture(tiny_conv, TINY_SIDE),
}
