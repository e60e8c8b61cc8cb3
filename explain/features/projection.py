"""The strongest activation of one unit, projected back to the pixels.

Zeiler & Fergus 2014, arXiv:1311.2901 (deconvnet), and Springenberg et al. 2015, arXiv:1412.6806 (guided
backpropagation), by Captum.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from explain.features.activations import Activations
from explain.methods.inputs import MethodInputs
from explain.methods.scorer import captum
from explain.network.hooks import find_layer
from explain.network.target import Target
from models.errors import UserError
from models.layers.layout import layout_of

if TYPE_CHECKING:
    import numpy as np

WAYS = ("deconvnet", "guided backpropagation")


def projections(model: nn.Module, x: Tensor, shown: Activations, channel: int) -> dict[str, "np.ndarray"]:
    """For each of `WAYS` an attribution (C, H, W) of the pixels of `x` (1, C, H, W): for the channel where it
    is strongest, or for a unit of a layer without spatial positions. The model is left as it was. Raises
    UserError for a network without ReLU, whose gradient these methods change."""
    from captum.attr import NeuronDeconvolution, NeuronGuidedBackprop

    where = shown.strongest(channel)[:2] if shown.spatial else None

    def unit(output: Any) -> Tensor:
        if where is None:
            return output.flatten(1)[:, channel]  # type: ignore[no-any-return]
        layout = layout_of(
            output, len(output), (x.shape[2], x.shape[3]), getattr(model, "num_prefix_tokens", None)
        )
        assert layout is not None
        return layout.maps(output)[:, channel, where[0], where[1]]

    inputs = MethodInputs(model, x[:1], (), Target(torch.zeros(1, dtype=torch.long)))
    made = {}
    with captum(inputs, 2, "open") as (net, more):
        if not len(net.relus or []):
            raise UserError("This network has no ReLU, whose gradient these projections change.")
        layer = find_layer(inputs.model, shown.layer)
        for name, kind in zip(WAYS, (NeuronDeconvolution, NeuronGuidedBackprop), strict=True):
            try:
                made[name] = (
                    kind(net, layer).attribute(neuron_selector=unit, **more)[0].detach().cpu().numpy()
                )
            except RuntimeError as error:
                if "used in the graph" not in str(error) and "not require grad" not in str(error):
                    raise
                # the output of the layer does not depend on the picture
                made[name] = torch.zeros_like(x[0]).cpu().numpy()
    return made
