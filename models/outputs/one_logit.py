"""Networks that answer yes or no with one output: as two classes, whose scores are the logit's negative and
the logit."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import UserError
from models.foreign.parameter_sets import current
from models.outputs.kinds import TINY, WHOLE, fractions, require_within, to_record

PROBES = 4
NOTE = "it has one output, which is read as {what}: the second class is predicted where {rule}"
READ_AS = {
    "logits": ("a logit", "its sigmoid is above 0.5"),
    "probabilities": ("a probability", "it is above 0.5"),
    "percent": ("a probability in percent", "it is above 50"),
}
MAY_BE_PERCENT = (
    "The one output of the network lies between 0 and 100 for every test image: say with --outputs percent "
    "that it is a percentage, or with --outputs logits that it is a logit; with --task regression it is a "
    "number."
)
SCALES, FAR = (1.0, 10.0, 100.0), (1e4, 1e6)
"""Of images of noise: an output that stays between its limits even `FAR` outside of the usual range, has
them."""


def is_one_logit(model: nn.Module) -> bool:
    """Whether the network's two scores were made of one output by `two_sided`."""
    return bool(getattr(model, "made_of_one_output", False))


def two_sided(model: nn.Module, example: Tensor) -> tuple[nn.Module, str]:
    """A shallow copy of a network of one output (N, 1), a logit z or its sigmoid, whose scores (N, 2) are -z
    and z; and a note that says which of the two it is, as a person says
    (`models.foreign.parameter_sets.reading`), or else as it is found. `example` (C, H, W): an image to find
    out with. Layers, parameters and the given object stay as they are. Raises UserError where the output is
    not what a person says, and where only a person can say whether it is a percentage."""
    told, outputs = current().outputs, tried(model, example)
    found = "probabilities" if _is_probability(outputs) else "logits"
    read_as = told or found
    require_within(outputs, read_as)
    unclear = float(outputs.max()) > 1 and _within_percent(outputs)
    unclear = unclear and _within_percent(tried(model, example, FAR))
    if unclear and not told:
        raise UserError(MAY_BE_PERCENT)
    what, rule = READ_AS[read_as]
    note = NOTE.format(what=f"{what}, as was said" if told else what, rule=rule)
    return _with_two(model, read_as, told if unclear else to_record(told, found)), note


def _within_percent(outputs: Tensor) -> bool:
    return bool(((outputs >= 0) & (outputs <= WHOLE["percent"])).all())


def _with_two(model: nn.Module, read_as: str, record: str) -> nn.Module:
    kind = type(model)

    def forward(self: nn.Module, *given: Any, **more: Any) -> Tensor:
        one: Tensor = kind.forward(self, *given, **more).flatten(1)
        z = fractions(one, read_as).clamp(TINY, 1 - 1e-7).logit() if read_as in WHOLE else one
        return torch.cat([-z, z], 1)

    made = copy.copy(model)
    added: dict[str, Any] = {"forward": forward, "__module__": kind.__module__, "made_of_one_output": True}
    added["own_numbers"] = getattr(model, "own_numbers", kind)
    made.__class__ = type(kind.__name__, (kind,), added | {"outputs_read_as": record})
    return made


def gives_probability(model: nn.Module, example: Tensor) -> bool:
    """Whether the output lies between 0 and 1 whatever the image: it is behind a sigmoid. Images far outside
    the usual range are tried too, whose logits lie outside of 0 and 1 unless the network ignores its
    input."""
    return _is_probability(tried(model, example))


def tried(model: nn.Module, example: Tensor, scales: tuple[float, ...] = SCALES) -> Tensor:
    """The output for images of noise, within the usual range and far outside of it."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(PROBES, *example.shape, generator=generator).to(example)
    with torch.inference_mode():
        found = [model(image[None] * scale).flatten().float() for image in noise for scale in scales]
    return torch.cat(found)


def _is_probability(outputs: Tensor) -> bool:
    if not bool(outputs.isfinite().all()) or float(outputs.max() - outputs.min()) == 0:
        return False
    return bool(((outputs >= 0) & (outputs <= 1)).all())
