"""Networks that answer each class with a yes or no of its own: an image has any number of labels."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import UserError
from models.outputs.kinds import NEAR, TINY, WHOLE, fractions, recorded, require_fractions, to_record
from models.outputs.one_logit import gives_probability, is_one_logit, tried

NOTE = "each of its {count} outputs is read as {what} of its own class, apart from the others"


def is_multi_label(model: nn.Module) -> bool:
    """Whether each output of the network decides for itself."""
    return bool(getattr(model, "answers_each_class", False))


READ_AS = {
    "logits": "a logit",
    "probabilities": "a probability",
    "percent": "a probability in percent",
}
SINGLE_LABEL = (
    "The outputs are said to be {kind}, and those of an image do not sum to {whole:g}, so each is that of a "
    "label of its own: give data with several labels per image, or leave --outputs (outputs=) out."
)


def said_of_each(model: nn.Module, kind: str) -> nn.Module:
    """The network, a shallow copy of a person's own, whose outputs are said to be probabilities (`kind`: of 1
    or in percent), each of a label of its own."""
    type(model).outputs_of_each = kind  # type: ignore[attr-defined]
    return model


def of_each(model: nn.Module) -> str:
    """As `said_of_each`; empty text for other networks."""
    return str(getattr(model, "outputs_of_each", ""))


def require_one_of_all(model: nn.Module) -> None:
    """Raises UserError where the network cannot answer with one class per image."""
    if kind := of_each(model):
        raise UserError(SINGLE_LABEL.format(kind=kind, whole=WHOLE[kind]))


def answering_each_class(
    model: nn.Module, example: Tensor, are_logits: bool = False
) -> tuple[nn.Module, str]:
    """A shallow copy of a network of K outputs (N, K), logits or their sigmoids, whose scores are logits and
    whose probabilities are their sigmoids; and a note that says which of the two it is: as a person says
    (`of_each`, `models.outputs.kinds.recorded`), logits where they are known to be (`are_logits`), else as it
    is found. `example` (C, H, W): an image to find out with. Layers, parameters and the given object stay as
    they are. Raises UserError for a network whose outputs exclude each other, for one of a single output, and
    where the outputs are not what a person says."""
    if is_one_logit(model):
        raise UserError(
            "The network has one output, which says yes or no to one class, and several labels per image "
            "need an output for each: give such a network, or data with one label per image, of two classes."
        )
    count = _outputs(model, example)
    told = of_each(model) or recorded(model)
    if told in WHOLE:
        require_fractions(tried(model, example)[None], told)
    found = "probabilities" if gives_probability(model, example) else "logits"
    read_as = told or ("logits" if are_logits else found)
    what = f"{READ_AS[read_as]}, as was said," if told in WHOLE else READ_AS[read_as]
    record = told if told == "logits" else to_record(told, found)
    return _with_logits(model, read_as, record), NOTE.format(count=count, what=what)


def _with_logits(model: nn.Module, read_as: str, record: str) -> nn.Module:
    kind = type(model)

    def forward(self: nn.Module, *given: Any, **more: Any) -> Tensor:
        scores: Tensor = kind.forward(self, *given, **more)
        return fractions(scores, read_as).clamp(TINY, 1 - 1e-7).logit() if read_as in WHOLE else scores

    made = copy.copy(model)
    added = {"forward": forward, "__module__": kind.__module__, "answers_each_class": True}
    added |= {"outputs_read_as": record, "outputs_of_each": ""}
    made.__class__ = type(kind.__name__, (kind,), added)
    return made


def _outputs(model: nn.Module, example: Tensor) -> int:
    """How many. Raises UserError where they are probabilities, or logarithms of some, that sum to 1."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, *example.shape, generator=generator).to(example)
    with torch.inference_mode():
        scores = torch.cat([model(image[None]).flatten(1).float() for image in noise])
    total = scores.exp().sum(1)  # `models.outputs.scores` takes the logarithm of probabilities
    said = recorded(model) in WHOLE and not of_each(model)
    of_one = said or torch.allclose(total, torch.ones_like(total), atol=NEAR)
    if scores.shape[1] > 1 and of_one:
        raise UserError(
            "The network's probabilities sum to 1, so its classes exclude each other, and the data has "
            "several labels per image: give data with one label per image, or a network without softmax."
        )
    return int(scores.shape[1])
