"""The filters of a layer: their weights and norms, which are dead, and which are duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from explain.network.summary import Layer
from models.errors import UserError
from models.inputs.channels import MODES, channels_of, has_alpha

SORTS = ("index", "norm", "similarity")
DEAD = 0.01
"""A filter is dead if its norm is at most this fraction of the layer's median."""
DUPLICATES = 0.95
"""Filters are duplicates if the cosine of their weights is at least this."""
COMPARED = 2 * 10**10
"""At most so many multiply-adds for comparing all filters of a layer."""


@dataclass(frozen=True, eq=False)
class Kernels:
    """`weights` (O, I, kh, kw); `norms` (O,); `twin` (O,): the most similar other filter of those with the
    same input channels, or -1 where there is none or they are too many to compare; `cosine` (O,): how similar
    it is. `groups`: a filter takes only its group's channels. `color`: of the image, one of
    `models.inputs.channels.COLORS`; `takes_image`: whether the layer is the network's first convolution."""

    layer: str
    weights: np.ndarray
    norms: np.ndarray
    twin: np.ndarray
    cosine: np.ndarray
    groups: int
    color: str = "rgb"
    takes_image: bool = False

    @property
    def colors(self) -> np.ndarray:
        """(O, I, kh, kw): the weights; of filters that are `pictures` in the order red, green, blue, without
        those of alpha."""
        if not self.pictures:
            return self.weights
        count = len(MODES[self.weights.shape[1]].rstrip("A"))
        colors = self.weights[:, :count]
        return colors[:, ::-1] if self.color in ("bgr", "bgra") else colors

    @property
    def dead(self) -> np.ndarray:
        alive = self.norms[self.norms > 0]
        return self.norms <= DEAD * (float(np.median(alive)) if len(alive) else 1.0)

    @property
    def duplicate(self) -> np.ndarray:
        return (self.cosine >= DUPLICATES) & ~self.dead

    @property
    def pictures(self) -> bool:
        """Whether a filter can be shown as a picture: it takes three color channels, or one, or an image with
        alpha."""
        taken = self.weights.shape[1]
        return (taken in (1, 3) or self.of_alpha) and min(self.weights.shape[2:]) > 1

    @property
    def of_alpha(self) -> bool:
        """Whether the last input channel is the image's alpha."""
        count = channels_of(self.color)
        return self.takes_image and has_alpha(count) and self.weights.shape[1] == count

    def order(self, by: str) -> np.ndarray:
        """Filter numbers in the order `by` (one of `SORTS`): as they are, the largest norm first, or each
        beside the most similar one."""
        if by == SORTS[0]:
            return np.arange(len(self.norms))
        if by == SORTS[1]:
            return np.argsort(-self.norms, kind="stable")
        return _chain(unit_rows(self.weights.reshape(len(self.weights), -1)))

    def inputs(self, number: int) -> np.ndarray:
        """The channels that a filter takes, as numbers of the layer's input."""
        wide = self.weights.shape[1]
        return np.arange(wide) + number // (len(self.weights) // self.groups) * wide

    def input_norms(self) -> np.ndarray:
        """(O, I): the norm of each k×k slice."""
        return np.sqrt((self.weights**2).sum((2, 3)))


def kernels(model: nn.Module, layer: str, color: str = "rgb") -> Kernels:
    """The filters of a convolution, or the rows of a dense layer as filters of 1 × 1. `color`: of the
    network's input, one of `models.inputs.channels.COLORS`. Raises UserError for a layer without them."""
    module = dict(model.named_modules()).get(layer)
    if not isinstance(module, nn.Conv2d | nn.Linear):
        raise UserError(f"Layer '{layer}' has no filters: choose a convolution or a dense layer.")
    weights = module.weight.detach().float().cpu().numpy()
    weights = weights[:, :, None, None] if weights.ndim == 2 else weights
    flat = weights.reshape(len(weights), -1)
    groups = module.groups if isinstance(module, nn.Conv2d) else 1
    twin, cosine = _twins(unit_rows(flat), groups)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    norms = np.linalg.norm(flat, axis=1)
    return Kernels(layer, weights, norms, twin, cosine, groups, color, module is first)


def layers_with_filters(model: nn.Module, table: Sequence[Layer]) -> list[tuple[Layer, int]]:
    """Those of the table's layers that ran and have filters, and how many."""
    modules = [(layer, model.get_submodule(layer.name)) for layer in table if layer.shape]
    return [
        (layer, len(module.weight)) for layer, module in modules if isinstance(module, nn.Conv2d | nn.Linear)
    ]


def unit_rows(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def _twins(unit: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other row of the same group, by cosine. Filters of one number are not compared: only their
    sign could differ."""
    n, size = len(unit), len(unit) // groups
    twin, nearest = np.full(n, -1), np.full(n, np.nan, np.float32)
    if size < 2 or unit.shape[1] < 2 or n * size * unit.shape[1] > COMPARED:
        return twin, nearest
    for start in range(0, n, size):
        cosine = unit[start : start + size] @ unit[start : start + size].T
        np.fill_diagonal(cosine, -np.inf)
        twin[start : start + size], nearest[start : start + size] = cosine.argmax(1) + start, cosine.max(1)
    return twin, nearest


def _chain(unit: np.ndarray) -> np.ndarray:
    """Starting with the first, each followed by the most similar of the remaining rows."""
    left, chain = np.ones(len(unit), bool), [0]
    left[0] = False
    while left.any():
        nearest = int(np.where(left, unit @ unit[chain[-1]], -np.inf).argmax())
        chain.append(nearest)
        left[nearest] = False
    return np.array(chain)
