"""What Captum needs: the network with its score as the only output, seeds, and attributions of pixels summed
up as maps."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explain.methods.inputs import MethodInputs
from explain.methods.stand_ins import FreshModules, Kind, stand_ins
from explain.network.fused import CLOSE
from explain.network.hooks import logits
from explain.network.model_state import as_found
from explain.network.oom import shrinking
from explain.network.target import Target
from models.errors import UserError

WHOLE = 8
"""Images at once where the graph of the whole network is kept, and the output of every layer."""


class Scorer(nn.Module):
    """The network as Captum expects it: images (M, C, H, W) and targets in, scores (M,) out; with progress.

    `relus`: the separate modules of its activations, or None.
    """

    def __init__(self, inputs: MethodInputs, model: nn.Module, fresh: FreshModules | None, expected: float):
        super().__init__()
        self.model, self.relus = model, fresh.modules if fresh else None
        self._mode, self._inputs, self._expected, self._done = fresh, inputs, expected * len(inputs.x), 0

    @property
    def joins(self) -> bool:
        """Whether the network combines branches."""
        return bool(self._mode and self._mode.joins)

    def forward(self, x: Tensor, plus: Tensor, contrast_class: Tensor | None = None) -> Tensor:
        self._done += len(x)
        self._inputs.on_progress(min(1.0, self._done / self._expected))
        if self._mode:
            self._mode.begin(len(x))
        with (
            self._mode or nullcontext(),
            torch.autocast(x.device.type, torch.bfloat16, enabled=self._inputs.precision == "bf16"),
        ):
            logits = self.model(x.clone())  # a copy: it may work in place
        return Target(plus, contrast_class).score(logits.flatten(1).float())


@contextmanager
def captum(
    inputs: MethodInputs,
    expected: float,
    relus: Kind | None = None,
    copy: bool = False,
    forward: bool = False,
) -> Iterator[tuple[Scorer, dict[str, Any]]]:
    """The scorer, and the arguments that every `attribute` takes.

    `expected`: how many times each image goes through the network. `relus`: separate modules for activations,
    and the method that needs them. `copy`: use a copy of the network, for methods that change it. `forward`:
    no gradients are needed, so that the fused network can be used, whose rounding changes no ReLU's gate.
    Raises UserError where separate modules change the scores.
    """
    with ExitStack() as stack:
        stack.enter_context(as_found(inputs.model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter(
            "ignore"
        )  # Captum's, about the hooks that it sets, and about samples in batches
        model = deepcopy(inputs.model) if copy else inputs.fused if forward else inputs.model
        sides = (inputs.target.plus, inputs.target.contrast_class)
        target = tuple(side.to(inputs.x.device) for side in sides if side is not None)
        arguments = {"inputs": inputs.x.detach().clone(), "additional_forward_args": target}
        if relus is None:
            yield Scorer(inputs, model, None, expected).eval(), arguments
        else:
            answers = logits(inputs.model, inputs.x, inputs.precision)
            stack.enter_context(stand_ins(model))
            yield _separated(inputs, model, relus, expected, target, answers), arguments


def _separated(
    inputs: MethodInputs,
    model: nn.Module,
    relus: Kind,
    expected: float,
    target: tuple[Tensor, ...],
    answers: Tensor,
) -> Scorer:
    """The scorer with a module for each activation call. A first pass creates the modules, before hooks are
    registered on them. Raises UserError where its scores are not those of `answers` (N, K)."""
    times = 2 if relus == "exact" else 1  # DeepLift's passes contain the baselines, too
    scorer = Scorer(inputs, model, FreshModules(relus), expected + times).eval()
    images = inputs.x.detach().repeat(times, 1, 1, 1).requires_grad_()
    scores = scorer(images, *(side.repeat(times) for side in target))[: len(inputs.x)].detach()
    near = CLOSE[inputs.precision] * answers.abs().amax()
    if not torch.allclose(scores, inputs.target.score(answers), rtol=0, atol=float(near), equal_nan=True):
        raise UserError(
            "The scores of this network change when its modules do not work in place, which "
            "this method needs: use SmoothGrad or Integrated Gradients."
        )
    return scorer


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The random numbers of PyTorch and NumPy (Captum uses both) from a seed on; afterwards they continue as
    if nothing had been drawn."""
    kept = np.random.get_state()
    with torch.random.fork_rng():
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            np.random.set_state(kept)


def pixels(attribution: Tensor, channels: str = "sum") -> Tensor:
    """(N, C, H, W) -> (N, H, W): the channels' sum, or their largest magnitude."""
    return (attribution.sum(1) if channels == "sum" else attribution.abs().amax(1)).detach()


def each(inputs: MethodInputs, work: Callable[[MethodInputs], Tensor], size: int = 1) -> Tensor:
    """`work` on `size` images after the other, fewer where memory does not suffice; progress over all of
    them."""
    n = len(inputs.x)

    def on_progress(done: int, of: int, fraction: float) -> None:
        inputs.on_progress((done + fraction * of) / n)

    def in_parts(size: int) -> Tensor:
        parts = [(row, inputs.rows(slice(row, row + size))) for row in range(0, n, size)]
        return torch.cat(
            [work(part.with_progress(partial(on_progress, row, len(part.x)))) for row, part in parts]
        )

    return shrinking(in_parts, size)
