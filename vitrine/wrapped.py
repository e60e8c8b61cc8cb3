"""A module of one's own as a `Classifier`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from models import checkpoints
from models.classifier import ONE_OUTPUT, Classifier
from models.errors import UserError
from models.preprocessing import Preprocessing
from models.transforms import read_transform


def wrapped(model: nn.Module, classes: Sequence[str], preprocess: Any, name: str) -> Classifier:
    """See `vitrine.wrap`."""
    if preprocess is None:
        raise UserError(
            "What was the network trained to be given? Pass preprocess=, a transform or a Preprocessing."
        )
    text = isinstance(preprocess, Preprocessing)
    preprocessing = preprocess if text else read_transform(preprocess)
    names = tuple(str(one) for one in classes)
    if len(set(names)) < len(names):
        raise UserError(
            f"{len(names)} classes, of which {len(names) - len(set(names))} have the name of another."
        )
    if next(model.parameters(), None) is None:
        raise UserError("The module has no parameters: pass the network itself.")
    outputs = _outputs(model.eval(), preprocessing)
    if outputs == 1:
        raise UserError(ONE_OUTPUT.format(name=name))
    if outputs != len(names):
        raise UserError(f"The network has {outputs} outputs, and classes= names {len(names)}.")
    source = "as it was passed" if text else "read from the transform, and compared with it"
    return Classifier(
        name,
        model,
        names,
        preprocessing,
        "a module in memory",
        checkpoints.fingerprint(model),
        preprocessing_from=source,
    )


def _outputs(model: nn.Module, preprocessing: Preprocessing) -> int:
    """How many numbers one picture is answered with."""
    device = next(model.parameters()).device
    example = torch.zeros(1, preprocessing.channels, *preprocessing.size, device=device)
    try:
        with torch.inference_mode():
            answer = model(example)
    except Exception as error:  # a module may raise anything
        reason = (str(error).splitlines() or [""])[0][:120]
        raise UserError(
            f"The network cannot take what preprocess= gives, {tuple(example.shape)} "
            f"({type(error).__name__}: {reason})."
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.ndim != 2 or len(answer) != 1:
        shape = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise UserError(f"The network answers with {shape}; one row of scores (1, classes) is needed.")
    return int(answer.shape[1])
