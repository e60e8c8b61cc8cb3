"""A case as Captum wants it: the network with its score as the only output, seeds, and pixels summed up as
maps."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from explain.methods.stand_ins import FreshModules, Kind, stand_ins
from explain.methods.target import Target
from explain.network.fused import CLOSE
from explain.network.hooks import as_found, logits
from explain.network.oom import shrinking
from models.errors import UserError

if TYPE_CHECKING:
    from explain.methods.compute import Case

WHOLE = 8
"""So many images at once where the graph of the whole network is kept, and what every layer put out."""


class Scorer(nn.Module):
    """The network as Captum expects it: images (M, C, H, W) and targets in, scores (M,) out; with progress.

    `relus`: the separate modules of its activations, or None.
    """

    def __init__(self, case: "Case", model: nn.Module, fresh: FreshModules | None, expected: float):
        super().__init__()
        self.model, self.relus = model, fresh.modules if fresh else None
        self._mode, self._case, self._expected, self._seen = fresh, case, expected * len(case.x), 0

    @property
    def joins(self) -> bool:
        """Whether the network puts branches together."""
        return bool(self._mode and self._mode.joins)

    def forward(self, x: Tensor, plus: Tensor, contrast_class: Tensor | None = None) -> Tensor:
        self._seen += len(x)
        self._case.on_progress(min(1.0, self._seen / self._expected))
        if self._mode:
            self._mode.begin(len(x))
        with (
            self._mode or nullcontext(),
            torch.autocast(x.device.type, torch.bfloat16, enabled=self._case.precision == "bf16"),
        ):
            logits = self.model(x.clone())  # a copy: it may work in place
        return Target(plus, contrast_class).score(logits.flatten(1).float())


@contextmanager
def captum(
    case: "Case", expected: float, relus: Kind | None = None, copy: bool = False, forward: bool = False
) -> Iterator[tuple[Scorer, dict[str, Any]]]:
    """The scorer, and the arguments that every `attribute` takes.

    `expected`: how many times each image goes through the network. `relus`: separate modules for activations,
    and the method that needs them. `copy`: use a copy of the network, for methods that change it. `forward`:
    no gradients are needed, so that the folded network can be used, whose rounding changes no ReLU's gate.
    Raises UserError where separate modules change the scores.
    """
    with ExitStack() as stack:
        stack.enter_context(as_found(case.model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter(
            "ignore"
        )  # Captum's, about the hooks that it sets, and about samples in batches
        model = deepcopy(case.model) if copy else case.quick if forward else case.model
        target = (
            case.target.plus.to(case.x.device),
            *([] if case.target.contrast_class is None else [case.target.contrast_class.to(case.x.device)]),
        )
        more = {"inputs": case.x.detach().clone(), "additional_forward_args": target}
        if relus is None:
            yield Scorer(case, model, None, expected).eval(), more
            return
        answers = logits(case.model, case.x, case.precision)
        stack.enter_context(stand_ins(model))
        times = 2 if relus == "exact" else 1  # DeepLift's passes contain the baselines, too
        scorer = Scorer(case, model, FreshModules(relus), expected + times).eval()
        # a first pass creates the modules, before hooks are registered on them
        images = case.x.detach().repeat(times, 1, 1, 1).requires_grad_()
        scores = scorer(images, *(side.repeat(times) for side in target))[: len(case.x)]
        near = CLOSE[case.precision] * answers.abs().amax()
        expected_scores = case.target.score(answers)
        if not torch.allclose(scores.detach(), expected_scores, rtol=0, atol=float(near), equal_nan=True):
            raise UserError(
                "The scores of this network change when its modules do not work in place, which "
                "this method needs: use SmoothGrad or Integrated Gradients."
            )
        del scores  # and its graph
        yield scorer, more


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The random numbers of PyTorch and NumPy (Captum uses both) from a seed on; afterwards they go on as if
    nothing had been drawn."""
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


def each(case: "Case", work: Callable[["Case"], Tensor], size: int = 1) -> Tensor:
    """`size` images after the other, fewer where memory ends; progress over all of them."""

    def on_progress(done: int, fraction: float, of: int) -> None:
        case.on_progress((done + fraction * of) / len(case.x))

    def in_parts(size: int) -> Tensor:
        parts = [case.part(slice(row, row + size)) for row in range(0, len(case.x), size)]
        return torch.cat(
            [
                work(replace(part, on_progress=partial(on_progress, size * k, of=len(part.x))))
                for k, part in enumerate(parts)
            ]
        )

    return shrinking(in_parts, size)
