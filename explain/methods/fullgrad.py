"""FullGrad: the contributions of the input and of every bias to the score (Srinivas & Fleuret, NeurIPS 2019,
arXiv:1905.00780)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods.inputs import MethodInputs
from explain.methods.scorer import WHOLE, each
from explain.network.hooks import ONE_BY_ONE, gradients_of, read_maps
from explain.network.target import Target
from models.errors import UserError

BIASED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.LayerNorm,
    nn.GroupNorm,
)


def full_gradients(model: nn.Module, x: Tensor, target: Target) -> tuple[Tensor, list[Tensor]]:
    """x ∂y/∂x (N, C, H, W), and for every layer with a bias b and output z: b ∂y/∂z, channels first: (N, C),
    (N, C, T) for tokens, or (N, C, h, w).

    In a network of convolutions, linear layers, batch norms, ReLUs and pooling their sum is the score. A
    layer that runs twice gives two. Layers that do not depend on the image (an embedding of positions) are
    left out.
    """
    biased = [m for m in model.modules() if isinstance(m, BIASED) and bias_of(m) is not None]
    layers = {_outputs_bias(module): module for module in biased}
    gradient, outputs = gradients_of(model, x, target, lambda module: module in layers)
    return (x * gradient).detach(), [_bias_gradient(layers[module], g) for module, g in outputs]


def _outputs_bias(layer: nn.Module) -> nn.Module:
    """The module whose output has just had the bias added: timm's norms contain a dropout and an activation
    after it."""
    drop = layer._modules.get("drop")
    return layer if drop is None or "act" not in layer._modules else drop


def _bias_gradient(layer: nn.Module, gradient: Tensor) -> Tensor:
    """Bias times gradient, channels first."""
    bias = bias_of(layer)
    assert bias is not None
    if _channels_last(layer, gradient, bias):
        return (gradient * bias).movedim(-1, 1).detach()
    return (gradient * bias.reshape(-1, *[1] * (gradient.ndim - 2))).detach()


def _channels_last(layer: nn.Module, output: Tensor, bias: Tensor) -> bool:
    """Linear layers and layer norms have their channels in the last dimension, also in (N, h, w, C) of Swin
    and MambaOut; except for layer norms that are written for convolutions (LayerNorm2d)."""
    if isinstance(layer, nn.LayerNorm) and output.ndim == 4 and output.shape[1] == len(bias):
        return output.shape[3] == len(bias) and "2d" not in type(layer).__name__
    return isinstance(layer, nn.Linear | nn.LayerNorm)


def bias_of(module: nn.Module) -> Tensor | None:
    """The bias of a layer; of a batch norm in eval mode, β - γ μ / σ."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        if module.running_mean is None or module.running_var is None:
            return module.bias
        scale = torch.rsqrt(module.running_var + module.eps) * (1 if module.weight is None else module.weight)
        return -module.running_mean * scale + (0 if module.bias is None else module.bias)
    return getattr(module, "bias", None)


def fullgrad(inputs: MethodInputs) -> Tensor:
    """M = ψ(x ∂y/∂x) + Σ over layers of ψ(b ∂y/∂z), summed over channels; ψ: magnitude, scaled to [0, 1] in
    each layer, enlarged (bilinear).

    Over the layers whose output has spatial positions: maps, and tokens.
    """
    size = (inputs.x.shape[2], inputs.x.shape[3])

    def work(some: MethodInputs) -> Tensor:
        image, biases = full_gradients(some.model, some.x, some.target)
        maps = [image, *(_maps(some.model, bias, some.x) for bias in biases)]
        return sum((_scaled(part, size) for part in maps if part is not None), torch.zeros(()))

    return each(inputs, work, WHOLE)


def _maps(model: nn.Module, part: Tensor, x: Tensor) -> Tensor | None:
    """(N, C, h, w), or None for a layer without spatial positions, or with windows of images as its batch."""
    if part.ndim == 3:
        return read_maps(model, part.transpose(1, 2), x)
    if part.ndim == 4 and len(x) > 1 == len(part):
        raise UserError(ONE_BY_ONE.format(what="A layer", shape=tuple(part.shape), count=len(x)))
    return part if part.ndim == 4 and len(part) == len(x) else None


def _scaled(part: Tensor, size: tuple[int, int]) -> Tensor:
    values = part.abs()
    low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
    together = ((values - low) / (high - low + 1e-6)).sum(
        1, keepdim=True
    )  # before it is enlarged: the sum of enlarged maps is the same
    return F.interpolate(together, size, mode="bilinear", align_corners=True)[:, 0]
