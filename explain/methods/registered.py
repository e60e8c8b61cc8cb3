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


def checked(title: str, function: Callable[..., Any], inputs: MethodInputs, **parameters: Any) -> Tensor:
    """Maps (N, h, w) of `function(model, x, target, **parameters)`, as float32 and without a graph.

    The function gets the model in eval mode, a copy of the images (N, C, H, W), and the class of each image
    (N,), on the images' device; gradients are enabled. Raises UserError for an answer of another shape, for
    numbers that are not finite, and for a difference of two classes.
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
    if answer.is_complex() or not bool(answer.isfinite().all()):
        raise UserError(
            f"{title} returned numbers that are not finite: check divisions by zero in the method."
        )
    return answer.detach().float()
