"""Networks that answer each class with a yes or no of its own: an image has any number of labels."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import UserError
from models.one_logit import gives_probability, is_one_logit
from models.output_kinds import NEAR, TINY, WHOLE, in_float32, recorded

NOTE = "each of its {count} outputs is read as {what} of its own class, apart from the others"


def is_multi_label(model: nn.Module) -> bool:
    """Whether each output of the network decides for itself."""
    return bool(getattr(model, "answers_each_class", False))


def answering_each_class(
    model: nn.Module, example: Tensor, are_logits: bool = False
) -> tuple[nn.Module, str]:
    """A shallow copy of a network of K outputs (N, K), logits or their sigmoids, whose scores are logits and
    whose probabilities are their sigmoids; and a note that says which of the two it is: logits where they
    are known to be (`are_logits`, or `models.output_kinds.recorded`), else as it is found. `example`
    (C, H, W): an image to find out with. Layers, parameters and the given object stay as they are. Raises
    UserError for a network whose outputs exclude each other, and for one of a single output."""
    if is_one_logit(model):
        raise UserError(
            "The network has one output, which says yes or no to one class: give data with one label an "
            "image, or --task single-label."
        )
    count = _outputs(model, example)
    probable = not are_logits and recorded(model) != "logits" and gives_probability(model, example)
    kind = type(model)

    def forward(self: nn.Module, *given: Any, **more: Any) -> Tensor:
        scores: Tensor = kind.forward(self, *given, **more)
        return in_float32(scores).clamp(TINY, 1 - 1e-7).logit() if probable else scores

    made = copy.copy(model)
    added = {"forward": forward, "__module__": kind.__module__, "answers_each_class": True}
    made.__class__ = type(kind.__name__, (kind,), added)
    return made, NOTE.format(count=count, what="a probability" if probable else "a logit")


def _outputs(model: nn.Module, example: Tensor) -> int:
    """How many. Raises UserError where they are probabilities, or logarithms of some, that sum to 1."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, *example.shape, generator=generator).to(example)
    with torch.inference_mode():
        scores = torch.cat([model(image[None]).flatten(1).float() for image in noise])
    total = scores.exp().sum(1)  # `models.outputs` takes the logarithm of probabilities
    of_one = recorded(model) in WHOLE or torch.allclose(total, torch.ones_like(total), atol=NEAR)
    if scores.shape[1] > 1 and of_one:
        raise UserError(
            "The network's probabilities sum to 1, so its classes exclude each other, and the data has "
            "several labels per image: give data with one label per image, or a network without softmax."
        )
    return int(scores.shape[1])
