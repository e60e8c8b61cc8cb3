"""Networks whose outputs are numbers: no softmax, no sigmoid, and no class."""

import copy

import torch
from torch import Tensor, nn

from models.errors import UserError
from models.outputs.multi_label import is_multi_label

NOTE = "each of its {count} outputs is read as a number"
ONE = "its one output is read as a number"


def is_regression(model: nn.Module) -> bool:
    """Whether each output of the network is a number of its own."""
    return bool(getattr(model, "answers_numbers", False))


def answering_numbers(model: nn.Module, example: Tensor) -> nn.Module:
    """A shallow copy of a network whose scores (N, R) are its own numbers, as it returned them before they
    were read as logits or probabilities of classes (`models.outputs.scores`). `example` (C, H, W): an image
    to find out with. Layers, parameters and the given object stay as they are. Raises UserError for a network
    that was opened for several labels per image, and where an image has no vector of numbers."""
    if is_multi_label(model):
        raise UserError("The network was opened for several labels per image: open it again.")
    kind = getattr(model, "own_numbers", type(model))
    made = copy.copy(model)
    added = {"__module__": kind.__module__, "answers_numbers": True}
    made.__class__ = type(kind.__name__, (kind,), added)
    with torch.inference_mode():
        numbers = made(example[None])
    if not isinstance(numbers, Tensor) or numbers.ndim < 2:
        raise UserError("The network returns no numbers (N, outputs): return them as one tensor.")
    return made


def described(outputs: int) -> str:
    """A note on how the outputs are read."""
    return ONE if outputs == 1 else NOTE.format(count=outputs)
