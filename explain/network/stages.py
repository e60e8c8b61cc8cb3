"""The stages of a network: layers of several resolutions, whose maps are put together into one. The registry
of methods reads it, so torch is imported inside."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from explain.network.target_layers import LayerOutput

STAGES = "stages"
"""In the place of names of layers: `stage_layers`."""
FINEST = 4  # pixels of the image on a side of a position; layers before show edges
BLOCKS = 4  # layers of a network with one resolution


def named_layers(model: "nn.Module", x: "Tensor", text: str) -> tuple[str, ...]:
    """The layers of 'features.4, features.8', of 'stages', or of '', which is the default layer. Raises
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

    P.-T. Jiang et al., *LayerCAM*, IEEE TIP 2021, put together the maps of all stages. Raises UserError as
    `default_layer` does.
    """
    from explain.network.target_layers import default_layer, map_layers, reached_layers

    last = last or default_layer(model, x)
    found = map_layers(model, x)
    names = [layer.name for layer in found]
    if last not in names:
        return (last,)
    found = found[: names.index(last) + 1]
    chosen = _ends(found, x) if len({layer.shape[1:] for layer in found}) > 1 else ()
    if len(chosen) < 2:
        chosen = _alike(found)
    return tuple(reached_layers(model, x, chosen)) or chosen[-1:]


def _ends(found: "list[LayerOutput]", x: "Tensor") -> tuple[str, ...]:
    """The outermost of the last layers of each resolution: a block, not the first layer of the next one."""
    ends = dict[tuple[int, ...], str]()
    for layer in found:
        size = layer.shape[1:]
        inside = size in ends and _depth(ends[size]) < _depth(layer.name)
        if x.shape[2] / size[0] >= FINEST and not inside:
            ends[size] = layer.name
    ends.pop(found[-1].shape[1:], None)
    order = [layer.name for layer in found]
    return (*sorted(ends.values(), key=order.index), found[-1].name)


def _depth(name: str) -> int:
    return name.count(".")


def _alike(found: "list[LayerOutput]") -> tuple[str, ...]:
    """The last layer, and those of the same name in some of the blocks before."""
    alike = [layer.name for layer in found if _pattern(layer.name) == _pattern(found[-1].name)]
    count = min(BLOCKS, len(alike))
    return tuple(alike[round(k * (len(alike) - 1) / max(count - 1, 1))] for k in range(count))


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name, count=1)
