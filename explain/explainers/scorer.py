"""A case as Captum wants it: the network with its score as the only output, seeds, and pixels summed up as maps."""

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

from explain.batches import shrinking
from explain.capture import as_found
from explain.explainers.relus import FreshRelus, Kind, stand_ins
from explain.target import Target

if TYPE_CHECKING:
    from explain.case import Case

WHOLE = 8
"""So many images at once where the graph of the whole network is kept, and what every layer put out."""


class Scorer(nn.Module):
    """The network as Captum wants it: images (M, C, H, W) and their targets in, scores (M,) out. It tells how far it is."""

    def __init__(self, case: "Case", model: nn.Module, relus: FreshRelus | None, expected: float):
        super().__init__()
        self.model, self.relus = model, relus.modules if relus else None
        self._mode, self._case, self._expected, self._seen = relus, case, expected * len(case.x), 0

    @property
    def joins(self) -> bool:
        """Whether the network puts branches together."""
        return bool(self._mode and self._mode.joins)

    def forward(self, x: Tensor, plus: Tensor, minus: Tensor | None = None) -> Tensor:
        self._seen += len(x)
        self._case.tell(min(1.0, self._seen / self._expected))
        if self._mode:
            self._mode.turn = 0
        with self._mode or nullcontext(), torch.autocast(x.device.type, torch.bfloat16, enabled=self._case.precision == "bf16"):
            logits = self.model(x)
        return Target(plus, minus).score(logits.flatten(1).float())


@contextmanager
def captum(case: "Case", expected: float, relus: Kind | None = None, copy: bool = False,
           forward: bool = False) -> Iterator[tuple[Scorer, dict[str, Any]]]:
    """The scorer, and the arguments that every `attribute` takes. `relus`: as modules of their own; `copy`: of the network, for what
    rewrites its weights; `forward`: no gradients are asked for, so that the folded network will do, whose rounding moves no ReLU's gate.
    `expected`: how many times each image goes through the network."""
    with ExitStack() as stack:
        stack.enter_context(as_found(case.model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # Captum's, about the hooks that it sets, and about samples in batches
        model = deepcopy(case.model) if copy else case.quick if forward else case.model
        mode = FreshRelus(relus) if relus else None
        if mode:
            stack.enter_context(stand_ins(model))
        scorer = Scorer(case, model, mode, expected + bool(mode)).eval()
        target = (case.target.plus.to(case.x.device), *([] if case.target.minus is None else [case.target.minus.to(case.x.device)]))
        if mode:  # a first pass makes the modules that hooks will hang on
            with torch.no_grad():
                scorer(case.x, *target)
        yield scorer, {"inputs": case.x.detach().clone(), "additional_forward_args": target}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The random numbers of PyTorch and NumPy (Captum uses both) from a seed on; afterwards they go on as if nothing had been drawn."""
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

    def tell(done: int, share: float, of: int) -> None:
        case.tell((done + share * of) / len(case.x))

    def in_parts(size: int) -> Tensor:
        parts = [case.part(slice(row, row + size)) for row in range(0, len(case.x), size)]
        return torch.cat([work(replace(part, tell=partial(tell, size * k, of=len(part.x)))) for k, part in enumerate(parts)])

    return shrinking(in_parts, size)
