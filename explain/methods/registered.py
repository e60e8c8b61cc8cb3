"""A method from outside of this package: called with copies, its answer checked, the network left as it
was."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explain.formatting import counted
from explain.methods.inputs import MethodInputs
from explain.network.model_state import restored
from models.errors import UserError


class NotFinite(UserError):
    """`maps` (N, h, w): all of them, those among them that are not finite."""

    def __init__(self, title: str, maps: Tensor):
        self.maps = maps
        bad = (~maps.flatten(1).isfinite().all(1)).nonzero()[:, 0] + 1
        which = f" {bad[0]} of {len(maps)}" if len(bad) == 1 else f"s {', '.join(map(str, bad[:5].tolist()))}"
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        super().__init__(
            f"{title} returned numbers that are not finite for image{which}{more}: check divisions by zero "
            "in the method."
        )


def checked(title: str, function: Callable[..., Any], inputs: MethodInputs, **parameters: Any) -> Tensor:
    """Maps (N, h, w) of `function(model, x, target, **parameters)`, as float32 and without a graph.

    The function gets the model in eval mode, a copy of the images (N, C, H, W), and the class of each image
    (N,), on the images' device; gradients are enabled. Raises UserError for an answer of another shape and
    for a difference of two classes, and `NotFinite`.
    """
    if inputs.target.contrast_class is not None:
        raise UserError(f"{title} explains one class: leave the contrast class out.")
    inputs.target.score(inputs.passes.logits)  # raises UserError for classes that the network lacks
    with restored(inputs.model), torch.inference_mode(False), torch.enable_grad():
        answer = function(
            inputs.model,
            inputs.x.detach().clone(),
            inputs.target.plus.to(inputs.x.device, copy=True),
            **parameters,
        )
    n = len(inputs.x)
    if not isinstance(answer, Tensor) or answer.ndim != 3 or len(answer) != n or not answer.numel():
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise UserError(
            f"{title} returned {got}: a method returns a tensor (N, h, w), one for each of "
            f"{counted(n, 'image')}."
        )
    if answer.is_complex():
        raise UserError(f"{title} returned complex numbers: a method returns real ones.")
    maps = answer.detach().float()
    if not bool(maps.isfinite().all()):
        raise NotFinite(title, maps)
    return maps
