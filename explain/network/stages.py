"""The stages of a network: layers of several resolutions, whose maps are put together into one. The registry
of methods reads it, so torch is imported inside."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from explain.network.target_layers import LayerOutput

STAGES = "all-stages"
"""In the place of names of layers: `stage_layers`. timm's networks have a layer that is called stages."""
FINEST = 4  # pixels of the image on a side of a position; layers before show edges
BLOCKS = 4  # layers of a network with one resolution
ALIKE = 0.05  # difference of the negative parts of two layers with the same activation


def named_layers(model: "nn.Module", x: "Tensor", text: str) -> tuple[str, ...]:
    """The layers of 'features.4, features.8', of 'all-stages', or of '', which is the default layer. Raises
    UserError for a network without layers that output maps."""
    from explain.network.hooks import layers_in
    from explain.network.target_layers import default_layer

    if text.strip() == STAGES:
        return stage_layers(model, x)
    return layers_in(text) or (default_layer(model, x),)


def stage_layers(model: "nn.Module", x: "Tensor", last: str = "") -> tuple[str, ...]:
    """The last layer of each resolution, from 1/4 of the image's on, to the layer `last` ('': the default
    one). Of a network with one resolution, as a transformer, some of its blocks, evenly spread. In the order
    in which they end; those that no gradient reaches are left out.

    P.-T. Jiang et al., *LayerCAM*, IEEE TIP 2021, put together the maps of all stages. The layers are behind
    activations, where there are some: with values of both signs, a positive gradient is no evidence. Raises
    UserError as `default_layer` does.
    """
    from explain.network.target_layers import default_layer, map_layers, noise_like, reached_layers

    last = last or default_layer(model, x)
    found = map_layers(model, noise_like(x))
    names = [layer.name for layer in found]
    if last not in names:
        return (last,)
    found = found[: names.index(last) + 1]
    chosen = _ends(found, x)
    if len(chosen) < 2:
        chosen = _alike(found)
    return tuple(reached_layers(model, x, chosen)) or chosen[-1:]


def _ends(found: "list[LayerOutput]", x: "Tensor") -> tuple[str, ...]:
    """Of each resolution before that of the last layer the last one with the fewest negative values; and the
    last layer."""
    *before, last = found
    sizes = [layer.shape[1:] for layer in before]
    ends = []
    for size in dict.fromkeys(sizes):
        if size == last.shape[1:] or x.shape[2] / size[0] < FINEST:
            continue
        same = [layer for layer in before if layer.shape[1:] == size]
        least = min(layer.negative for layer in same)
        ends.append([layer.name for layer in same if layer.negative <= least + ALIKE][-1])
    return (*sorted(ends, key=[layer.name for layer in found].index), last.name)


def _alike(found: "list[LayerOutput]") -> tuple[str, ...]:
    """The last layer, and those like it in some of the blocks before: of the same name, kind and shape."""
    last = found[-1]
    of_last = _pattern(last.name), last.kind, last.shape
    alike = [layer.name for layer in found if (_pattern(layer.name), layer.kind, layer.shape) == of_last]
    count = min(BLOCKS, len(alike))
    return tuple(alike[round(k * (len(alike) - 1) / max(count - 1, 1))] for k in range(count))


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name, count=1)
