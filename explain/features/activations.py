"""The activations of one layer for an image: the maps of its channels, sorted and scaled for display."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from explain.network.hooks import capture, output_of, turns
from explain.network.target import Target

ORDERS = ("index", "mean", "maximum", "weight towards the class")
SCALES = ("each channel", "one scale")


@dataclass(frozen=True, eq=False)
class Activations:
    """`values` (C, h, w), or (D,) of a layer without spatial positions."""

    layer: str
    values: np.ndarray

    @property
    def spatial(self) -> bool:
        return self.values.ndim == 3

    def strongest(self, channel: int) -> tuple[int, int, float]:
        """Row, column and value of the channel's largest activation."""
        maps = self.values[channel]
        row, column = np.unravel_index(int(maps.argmax()), maps.shape)
        return int(row), int(column), float(maps[row, column])


def activations(model: nn.Module, x: Tensor, layer: str, runs: int | None = None) -> Activations:
    """The activations of `layer` for an image `x` (1, C, H, W). The pass ends at the layer, the last time
    that it runs. `runs`: how often it runs (`Layer.runs`); default: counted in a whole pass. Raises UserError
    for a layer that does not exist, does not run, or does not output a tensor."""
    output, layout = output_of(model, x[:1], layer, runs or turns(model, x, layer))
    spatial = layout is not None and min(layout.size) > 1
    values = layout.maps(output)[0] if spatial and layout else output[0].flatten()
    return Activations(layer, values.float().cpu().numpy())


def order(model: nn.Module, x: Tensor, shown: Activations, by: str, target: int) -> np.ndarray:
    """Channel numbers in the order `by` (one of `ORDERS`): as they are, or the largest mean, maximum, or
    weight towards class `target` first; the weight is Grad-CAM's, the mean gradient of the class's score."""
    if not shown.spatial or by == ORDERS[0]:
        return np.arange(len(shown.values))
    if by == ORDERS[3]:
        weights = (
            capture(model, x[:1], shown.layer)
            .gradient(Target(torch.tensor([target])))
            .mean((2, 3))[0]
            .cpu()
            .numpy()
        )
        return np.argsort(-weights, kind="stable")
    return np.argsort(
        -(shown.values.mean((1, 2)) if by == ORDERS[1] else shown.values.max((1, 2))), kind="stable"
    )


def scaled(values: np.ndarray, how: str, limits: tuple[float, float]) -> np.ndarray:
    """Maps (n, h, w) in [0, 1]: each channel with mean 0.5 and deviation 0.25, clipped; or all between the
    layer's `limits`."""
    values = np.nan_to_num(values)
    if how == SCALES[1]:
        low, high = limits
        return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    deviation = values.std((1, 2), keepdims=True)
    centered = values - values.mean((1, 2), keepdims=True)
    return np.clip(
        0.5 + 0.25 * np.divide(centered, deviation, out=np.zeros_like(values), where=deviation > 0), 0, 1
    )
