"""The architecture of the same family that the parameters of a file fit."""

import difflib
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from models.checkpoints import aligned, head_key
from models.foreign.parameter_sets import State, reading
from models.sources.unfilled import unfilled

MOST, SECONDS = 40, 8.0


def nearest(name: str, family: Sequence[str], build: Callable[[str], nn.Module], state: State) -> str:
    """'Its keys and shapes fit resnet34: use --model resnet34.', or empty text. `family`: names that `build`
    takes; the most similar ones are built, without memory and initial values for their parameters."""
    end = time.monotonic() + SECONDS
    similar = sorted(family, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
    fitting: list[str] = []
    for other in similar[:MOST]:
        if time.monotonic() > end or len(fitting) == 3:
            break
        if other != name and _fits(other, build, state):
            fitting.append(other)
    return (
        f"Its keys and shapes fit {' and '.join(fitting)}: use --model {' or '.join(fitting)}."
        if fitting
        else ""
    )


def _fits(name: str, build: Callable[[str], nn.Module], state: State) -> bool:
    """Keys and shapes, but for the number of outputs."""
    try:
        with torch.device("meta"), unfilled(()):
            model = build(name)
        own, head = model.state_dict(), head_key(model).removesuffix("weight")
        with reading():
            found = aligned(state, own)
    except Exception:  # networks of others that cannot be built this way are no suggestion
        return False
    keys = {key for key in own if not key.endswith("num_batches_tracked")}
    if keys != {key for key in found if not key.endswith("num_batches_tracked")}:
        return False
    return all(found[k].shape[k.startswith(head) :] == own[k].shape[k.startswith(head) :] for k in keys)
