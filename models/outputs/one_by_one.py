"""Networks whose code takes one image alone: they get the images of a batch one after the other."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

NOTE = "it takes one image at a time: it is given the images of a batch one after the other, which is slow"


def takes_one_image(model: nn.Module) -> bool:
    """Whether the network is a copy that `one_by_one` made."""
    return bool(getattr(model, "takes_one_image", False))


def one_by_one(model: nn.Module) -> nn.Module:
    """A shallow copy of another class of a network that returns scores (1, K) for one image: it returns
    (N, K) for N. Layers, parameters and the given object stay as they are; layers run once for each image."""
    kind = type(model)

    def forward(self: nn.Module, x: Tensor, *given: Any, **more: Any) -> Tensor:
        return torch.cat([kind.forward(self, image, *given, **more).flatten(1) for image in x.split(1)])

    made = copy.copy(model)
    added = {"forward": forward, "__module__": kind.__module__, "takes_one_image": True}
    made.__class__ = type(kind.__name__, (kind,), added)
    return made
