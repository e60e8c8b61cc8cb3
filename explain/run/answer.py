"""What a network answers to one fixed image of noise: state that is neither parameter, buffer nor code (a
number of Python, a plain tensor, a file that it reads) shows in it alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explain.network.model_state import as_found
from models.classifier import Classifier

OUTPUTS = 16
"""How many of the scores are kept."""
NEAR, NEAR_ZERO = 0.02, 1e-3
"""By how much of the largest score, and by how much besides, other hardware may change one."""


def noise(classifier: Classifier) -> Tensor:
    """A random image (1, C, h, w) as the network takes it, always the same for its input size."""
    shape = (1, classifier.channels, *classifier.input_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(classifier.device)


def answer(classifier: Classifier) -> tuple[float, ...]:
    """The first scores for `noise`, to 4 significant digits; 0 for those that are not finite."""
    with as_found(classifier.model), torch.inference_mode():
        scores = classifier.model(noise(classifier)).flatten()[:OUTPUTS].float().nan_to_num(0, 0, 0)
    return tuple(float(f"{score:.4g}") for score in scores.tolist())


def settled(now: Sequence[float], was: Sequence[float]) -> list[float]:
    """The scores of `now`, with those of `was` in place of all that are the same on other hardware; `was`
    itself where it is empty, as in runs of earlier versions."""
    if len(was) != len(now):
        return list(now if was else was)
    near = NEAR * max(map(abs, (*was, *now)), default=0) + NEAR_ZERO
    return [a if abs(a - b) <= near else b for a, b in zip(was, now, strict=True)]
