"""What a method that runs the network receives, and the passes that maps of the same images share."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor, nn

from explain.network.fused import fused_copy
from explain.network.hooks import Capture, capture, logits
from explain.network.oom import shrinking
from explain.network.target import Target

Layers = tuple[str, ...]
OnProgress = Callable[[float], None]

PASS_BYTES = 256 * 2**20
"""At most so much memory is kept in captured passes of the same images."""
FUSED_BYTES = 512 * 2**20
"""At most so much memory is kept in fused copies of one network, shared weights not counted."""


def ignore_progress(fraction: float) -> None:
    """The default of `on_progress`."""


class Passes:
    """Captured passes of images `x` (N, C, H, W) through `model`, and fused copies of the network; each is
    made once. The least recently used are dropped beyond `limit` bytes."""

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        precision: str = "fp32",
        limit: int = PASS_BYTES,
        fused: "LRUCache[Layers, nn.Module] | None" = None,
    ):
        self.model, self.x, self.precision, self.limit = model, x, precision, limit
        self._captured = LRUCache[Layers, Capture](limit, getsizeof=lambda c: min(c.nbytes, limit))
        self._fused = fused_copies(model) if fused is None else fused
        self._lock = RLock()

    def captured(self, layers: Layers) -> Capture:
        """One pass with the outputs of `layers`. Raises UserError as `capture` does."""
        with self._lock:
            if layers in self._captured:
                return self._captured[layers]
            made = capture(self.model, self.x, layers, self.precision)
            self._captured[layers] = made
            return made

    def fused(self, layers: Layers) -> nn.Module:
        """The network for methods of many forward passes; its outputs at `layers` are the model's."""
        with self._lock:
            if layers in self._fused:
                return self._fused[layers]
            made = fused_copy(self.model, self.x, layers, self.precision)
            self._fused[layers] = made
            return made

    @cached_property
    def logits(self) -> Tensor:
        """(N, K) of the images."""
        with self._lock:
            known = next(iter(self._captured.values()), None)
        return logits(self.model, self.x, self.precision) if known is None else known.logits

    def of_images(self, x: Tensor) -> "Passes":
        """Passes of other images; fused copies are shared."""
        return Passes(self.model, x, self.precision, self.limit, self._fused)

    @property
    def kept(self) -> list[Layers]:
        """The layers whose passes are kept, the least recently used first."""
        with self._lock:
            return list(self._captured)

    @property
    def nbytes(self) -> int:
        """Of the captured passes that are kept."""
        with self._lock:
            return int(self._captured.currsize)


def fused_copies(model: nn.Module) -> "LRUCache[Layers, nn.Module]":
    """A cache of fused copies of a network, which passes of several images may share; see `FUSED_BYTES`."""
    shared = {id(p) for p in model.parameters()}

    def own_bytes(copy: nn.Module) -> int:
        return min(sum(p.nbytes for p in copy.parameters() if id(p) not in shared), FUSED_BYTES)

    return LRUCache(FUSED_BYTES, getsizeof=own_bytes)


@dataclass(frozen=True, eq=False)
class MethodInputs:
    """`model` explains images `x` (N, C, H, W) for `target`, at `layers`.

    `batch_size`: how many images the network gets at once in methods of many passes; it is halved where
    memory does not suffice. `on_progress(fraction)` is called on the way, and may raise `Cancelled`.
    """

    model: nn.Module
    x: Tensor
    layers: Layers
    target: Target
    precision: str = "fp32"
    batch_size: int = 32
    on_progress: OnProgress = ignore_progress
    _passes: Passes | None = field(default=None, repr=False)

    @cached_property
    def passes(self) -> Passes:
        return Passes(self.model, self.x, self.precision) if self._passes is None else self._passes

    @cached_property
    def captured(self) -> Capture:
        return self.passes.captured(self.layers)

    @property
    def fused(self) -> nn.Module:
        """The network for many forward passes without gradients."""
        return self.passes.fused(self.layers)

    @property
    def layer(self) -> str:
        return self.layers[0]

    def scores(self, images: Tensor, target: Target) -> Tensor:
        """The target's scores (M,) of images (M, C, H, W), without a graph."""
        return target.score(
            shrinking(
                lambda size: torch.cat(
                    [logits(self.fused, part, self.precision) for part in images.split(size)]
                ),
                self.batch_size,
            )
        )

    def with_layer(self, layer: str) -> "MethodInputs":
        return self._derived(layers=(layer,))

    def with_progress(self, on_progress: OnProgress) -> "MethodInputs":
        return self._derived(on_progress=on_progress)

    def with_images(self, x: Tensor) -> "MethodInputs":
        """The same targets on other images."""
        return replace(self, x=x, _passes=self.passes.of_images(x))

    def rows(self, rows: slice) -> "MethodInputs":
        """Some of the images, with their targets."""
        x = self.x[rows]
        return replace(self, x=x, target=self.target.rows(rows), _passes=self.passes.of_images(x))

    def row(self, row: int) -> "MethodInputs":
        return self.rows(slice(row, row + 1))

    def _derived(self, **changes: Any) -> "MethodInputs":
        """The images stay, so their passes are shared."""
        return replace(self, _passes=self.passes, **changes)
