"""A module in memory as a `Classifier`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from models import checkpoints
from models.classes.given_names import must_name_all
from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.inputs.channels import BY_COUNT, READ, channels_wanted
from models.inputs.transforms import read_and_compared
from models.outputs.scores import giving_scores
from models.preprocessing import Preprocessing, require_readable


def from_module(
    model: nn.Module,
    classes: Sequence[str],
    preprocess: Any,
    name: str,
    origin: str = "a module in memory",
) -> Classifier:
    """The module itself, in eval mode from here on, as a classifier of `classes`; a shallow copy of it where
    its outputs are no scores alone (`models.outputs.scores`). `preprocess`: a torchvision transform, or a
    `Preprocessing`; `origin`: where its weights come from. Raises UserError where a picture cannot pass, or
    the number of outputs is not that of the names."""
    preprocessing, preprocessing_from = read_preprocess(preprocess)
    names = distinct_names(classes)
    if next(model.parameters(), None) is None:
        raise UserError("The module has no parameters: pass the network itself.")
    model, note, outputs = _giving_scores(plain(model, "The module").eval(), preprocessing)
    must_name_all(names, model, outputs, "the network (classes=)")
    return Classifier(
        name,
        model,
        names,
        preprocessing,
        origin,
        checkpoints.fingerprint(model),
        preprocessing_from=preprocessing_from,
        notes=(note,) if note else (),
    )


def plain(model: nn.Module, name: str) -> nn.Module:
    """The network itself where `model` is what `torch.compile` made of it: hooks run there alone. Raises
    UserError for a ScriptModule, whose layers cannot be reached."""
    if isinstance(model, torch.jit.ScriptModule):
        raise UserError(
            f"{name} is a ScriptModule, whose layers cannot be reached: save it with "
            "torch.jit.save(network, 'net.pt') and give that file as --model, or give the network itself."
        )
    inner = getattr(model, "_orig_mod", None)
    return plain(inner, name) if isinstance(inner, nn.Module) else model


def read_preprocess(preprocess: Any) -> tuple[Preprocessing, str]:
    """A torchvision transform or a `Preprocessing` as `Preprocessing`, and where it comes from. Raises
    UserError for None, and for a transform that cannot be read."""
    if preprocess is None:
        raise UserError("The preprocessing is not given: pass preprocess=, a transform or a Preprocessing.")
    if isinstance(preprocess, Preprocessing):
        require_readable(preprocess)
        return preprocess, "as it was passed"
    made, how = read_and_compared(preprocess)
    return made, f"read from the transform, and {how}"


def distinct_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes as text. Raises UserError where two are the same."""
    names = tuple(str(name) for name in classes)
    if repeated := len(names) - len(set(names)):
        raise UserError(
            f"{counted(len(names), 'class')}, of which {repeated} have the name of another: use distinct "
            "names."
        )
    return names


def _channels(error: Exception, given: int) -> str:
    """What to pass instead, where the number of channels is the reason."""
    wanted = channels_wanted(error, given)
    if wanted is None:
        return ""
    if wanted not in BY_COUNT:
        return f": it takes {counted(wanted, 'channel')}, and {READ}"
    return f": pass preprocess=Preprocessing(mean=..., std=...) with {counted(wanted, 'value')} each"


def _giving_scores(model: nn.Module, preprocessing: Preprocessing) -> tuple[nn.Module, str, int]:
    """As `giving_scores`, and how many scores there are. Raises UserError where an image cannot pass."""
    device = next(model.parameters()).device
    example = torch.zeros(preprocessing.channels, *preprocessing.size, device=device)
    try:
        with torch.inference_mode():
            model(example[None].clone())
    except Exception as error:  # a module may raise anything
        reason = (str(error).splitlines() or [""])[0][:240]
        raise UserError(
            f"The network cannot take the output of preprocess=, {(1, *example.shape)} "
            f"({type(error).__name__}: {reason}){_channels(error, len(example))}."
        ) from error
    made, note = giving_scores(model, example)
    with torch.inference_mode():
        return made, note, int(made(example[None]).flatten(1).shape[1])
