"""Which layers of a network put out maps, and which of them to explain where nobody says."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explain.capture import capture, watch
from models.errors import UserError
from models.layout import layout_of


@dataclass(frozen=True)
class LayerOutput:
    """A layer that puts out maps: its name, the kind of module, and `shape` (C, h, w) for one image."""

    name: str
    kind: str
    shape: tuple[int, int, int]


def map_layers(model: nn.Module, x: Tensor) -> list[LayerOutput]:
    """Every layer that puts out maps larger than one point, in the order in which they end. One forward."""
    return [layer for layer in _outputs(model, x) if min(layer.shape[1:]) > 1]


def default_layer(model: nn.Module, x: Tensor) -> str:
    """The last layer at the resolution of the last convolution: its outermost name, after batch-norm and ReLU. In a
    transformer, the last layer from whose places a gradient comes.

    Raises UserError for a network without such a layer.
    """
    attentions: list[tuple[str, int]] = []
    outputs = _outputs(model, x, attentions)
    convolutions = [i for i, layer in enumerate(outputs) if "Conv" in layer.kind and min(layer.shape[1:]) > 1]
    if attentions and (not convolutions or attentions[-1][1] > convolutions[-1]):
        inside = tuple(f"{name}." for name, _ in attentions)
        places = [min(layer.shape[1:]) > 1 and not layer.name.startswith(inside) for layer in outputs]
        before = [layer.name for layer, fits in zip(outputs[: attentions[-1][1]], places, strict=False) if fits]
        return _last_reached(model, x, [layer.name for layer, fits in zip(outputs, places, strict=True) if fits]) or before[-1]
    if not convolutions:
        raise UserError(f"{type(model).__name__} has no convolution that puts out maps: class-activation maps need one.")
    last = convolutions[-1]
    same = [layer for layer in outputs[last:] if layer.shape[1:] == outputs[last].shape[1:]]
    return same[-1].name


def _last_reached(model: nn.Module, x: Tensor, names: list[str]) -> str | None:
    """The last of the layers whose places, and not its class token alone, the score depends on; None where it depends on none."""
    noise = torch.randn(x[:1].shape, generator=torch.Generator().manual_seed(0)).to(x)
    captured = capture(model, noise, names)
    scores = captured._scores.gather(1, captured.logits.argmax(1, keepdim=True)).sum()
    found = torch.autograd.grad(scores, captured._outputs, allow_unused=True)
    for name, layout, gradient in reversed(list(zip(captured.layers, captured.layouts, found, strict=True))):
        if gradient is not None and bool(layout.maps(gradient).count_nonzero()):
            return name
    return None


def _outputs(model: nn.Module, x: Tensor, attentions: list[tuple[str, int]] | None = None) -> list[LayerOutput]:
    """Layers with maps in the order in which they end; into `attentions`, where there is one after how many of them."""
    found: dict[str, LayerOutput] = {}

    def note(name: str, module: nn.Module, output: Any) -> None:
        if attentions is not None and "Attention" in type(module).__name__:
            attentions.append((name, len(found)))
        layout = layout_of(output, 1, (x.shape[2], x.shape[3]), getattr(model, "num_prefix_tokens", None))
        if layout and layout.plausible((x.shape[2], x.shape[3])):
            found.pop(name, None)  # of a layer that runs twice, the second time counts
            c, h, w = layout.maps(output).shape[1:]
            found[name] = LayerOutput(name, type(module).__name__, (c, h, w))

    names = {module: name for name, module in model.named_modules() if name}
    watch(model, x[:1], names, lambda module, given: None, lambda module, output: note(names[module], module, output))
    return list(found.values())
