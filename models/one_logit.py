"""Networks that answer yes or no with one output: as two classes, whose scores are the logit's negative and
the logit."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

TINY = 1e-12
PROBES = 4
NOTE = "it has one output, which is read as {what}: the second class is predicted where {rule}"


def is_one_logit(model: nn.Module) -> bool:
    """Whether the network's two scores were made of one output by `two_sided`."""
    return bool(getattr(model, "made_of_one_output", False))


def two_sided(model: nn.Module, example: Tensor) -> tuple[nn.Module, str]:
    """A shallow copy of a network of one output (N, 1), a logit z or its sigmoid, whose scores (N, 2) are -z
    and z; and a note that says which of the two it is. `example` (C, H, W): an image to find out with.
    Layers, parameters and the given object stay as they are."""
    probable = gives_probability(model, example)
    note = NOTE.format(
        what="a probability" if probable else "a logit",
        rule="it is above 0.5" if probable else "its sigmoid is above 0.5",
    )
    kind = type(model)

    def forward(self: nn.Module, *given: Any, **more: Any) -> Tensor:
        one: Tensor = kind.forward(self, *given, **more).flatten(1)
        z = one.clamp(TINY, 1 - 1e-7).logit() if probable else one
        return torch.cat([-z, z], 1)

    made = copy.copy(model)
    added = {"forward": forward, "__module__": kind.__module__, "made_of_one_output": True}
    made.__class__ = type(kind.__name__, (kind,), added)
    return made, note


def gives_probability(model: nn.Module, example: Tensor) -> bool:
    """Whether the output lies between 0 and 1 whatever the image: it is behind a sigmoid. Images far outside
    the usual range are tried too, whose logits lie outside of 0 and 1 unless the network ignores its
    input."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(PROBES, *example.shape, generator=generator).to(example)
    scales = torch.tensor([1.0, 10.0, 100.0], device=example.device)
    with torch.inference_mode():
        found = [model(image[None] * scale).flatten().float() for image in noise for scale in scales]
    outputs = torch.cat(found)
    if not bool(outputs.isfinite().all()) or float(outputs.max() - outputs.min()) == 0:
        return False
    return bool(((outputs >= 0) & (outputs <= 1)).all())
