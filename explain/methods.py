"""The registry of explanation methods: adding a method is adding one entry.

The dashboard's controls, the command line, the contract tests and the table in the documentation read these entries.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from explain import cam
from explain.capture import Capture
from models.errors import UserError


@dataclass(frozen=True)
class Method:
    """`function(activation, gradient)` -> raw maps (N, h, w). `signed`: negative values speak against the class.

    `class_specific`: False where the map is the same for every target; such a method needs no gradient.
    """

    name: str
    title: str
    function: Callable[[Tensor, Tensor], Tensor]
    summary: str
    citation: str
    signed: bool = True
    class_specific: bool = True
    cost: str = "1 forward, 1 backward from the output to the layer"


METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add an entry. Raises ValueError where the name is taken."""
    if method.name in METHODS:
        raise ValueError(f"method '{method.name}' is registered twice")
    METHODS[method.name] = method
    return method


def get(name: str) -> Method:
    if name not in METHODS:
        raise UserError(f"No method '{name}': choose from {', '.join(METHODS)}.")
    return METHODS[name]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Raw float32 maps (N, h, w) at the layer's own resolution, of `method` for the classes `target` (N,)."""

    maps: Tensor
    method: str
    layer: str
    target: Tensor


def explain(captured: Capture, methods: Iterable[str], target: Tensor) -> dict[str, Explanation]:
    """Maps of several methods for one target each image, from one captured pass."""
    chosen = [get(name) for name in methods]
    gradient = captured.gradient(target) if any(m.class_specific for m in chosen) else captured.activation
    with torch.no_grad():
        return {m.name: Explanation(m.function(captured.activation, gradient), m.name, captured.layer, target) for m in chosen}


register(Method(
    "grad_cam", "Grad-CAM", cam.grad_cam, "channels weighted by their mean gradient",
    "Selvaraju et al., ICCV 2017, arXiv:1610.02391",
))  # fmt: skip
register(Method(
    "grad_cam_pp", "Grad-CAM++", cam.grad_cam_pp, "positive gradients, weighted so that several instances count alike",
    "Chattopadhay et al., WACV 2018, arXiv:1710.11063",
))  # fmt: skip
register(Method(
    "layer_cam", "LayerCAM", cam.layer_cam, "every place weighted by its own positive gradient; also for early layers",
    "Jiang et al., IEEE TIP 2021, doi:10.1109/TIP.2021.3089943",
))  # fmt: skip
register(Method(
    "hires_cam", "HiResCAM", cam.hires_cam, "gradient times activation, place by place",
    "Draelos & Carin 2020, arXiv:2011.08891",
))  # fmt: skip
register(Method(
    "xgrad_cam", "XGrad-CAM", cam.xgrad_cam, "channels weighted by gradients that the activation scales",
    "Fu et al., BMVC 2020, arXiv:2008.02312",
))  # fmt: skip
register(Method(
    "eigen_cam", "Eigen-CAM", cam.eigen_cam, "first principal component of the activations; no class",
    "Muhammad & Yeasin, IJCNN 2020, arXiv:2008.00299", class_specific=False, cost="1 forward",
))  # fmt: skip
