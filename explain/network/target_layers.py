"""The layers of a network that output maps, and which of them is explained by default."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explain.network.hooks import capture, watch
from models.errors import UserError
from models.layers.layout import Layout, layout_in

POOLING_1D = (nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d, nn.AvgPool1d, nn.MaxPool1d, nn.LPPool1d)
"""Their outputs (N, C, T) hold channels where tokens would have positions."""


@dataclass(frozen=True)
class LayerOutput:
    """A layer that outputs maps: its name, the kind of module, and `shape` (C, h, w) for one image;
    `negative`: the fraction of the magnitude of its output that is negative."""

    name: str
    kind: str
    shape: tuple[int, int, int]
    negative: float = 0


def map_layers(model: nn.Module, x: Tensor) -> list[LayerOutput]:
    """Every layer that outputs maps larger than one point, in the order in which they end. One forward.

    Of a layer that runs several times in a pass, the run that `Capture` explains.
    """
    return [layer for layer, _ in _outputs(model, x) if min(layer.shape[1:]) > 1]


def default_layer(model: nn.Module, x: Tensor) -> str:
    """The last layer at the resolution of the last convolution: its outermost name, after batch-norm and
    ReLU. In a transformer, the last layer whose spatial positions have a gradient.

    Raises UserError for a network without such a layer.
    """
    attentions: list[tuple[str, int]] = []
    pairs = _outputs(model, x, attentions)
    outputs = [layer for layer, _ in pairs]
    inside = tuple(f"{name}." for name, _ in attentions)
    large = [layer.name for layer in outputs if min(layer.shape[1:]) > 1]
    names = [name for name in large if not name.startswith(inside) and ".attn." not in name]
    convolutions = [i for i, layer in enumerate(outputs) if "Conv" in layer.kind and min(layer.shape[1:]) > 1]
    if attentions and (not convolutions or attentions[-1][1] > convolutions[-1]):
        before = [name for name in names if name in {layer.name for layer in outputs[: attentions[-1][1]]}]
        return _last_reached(model, x, names) or before[-1]
    if not convolutions:
        raise UserError(
            f"{type(model).__name__} has no convolution that outputs maps: class-activation maps need one."
        )
    last = convolutions[-1]
    layer, layout = [pair for pair in pairs[last:] if pair[0].shape[1:] == outputs[last].shape[1:]][-1]
    # tokens: attention of another name may follow, and the class token alone be read
    return layer.name if layout.kind != "tokens" else _last_reached(model, x, names) or layer.name


def noise_like(x: Tensor) -> Tensor:
    """The same random image (1, C, H, W) each time."""
    return torch.randn(x[:1].shape, generator=torch.Generator().manual_seed(0)).to(x)


def _last_reached(model: nn.Module, x: Tensor, names: list[str]) -> str | None:
    """None where there is none."""
    return next(reversed(reached_layers(model, x, names)), None)


def reached_layers(model: nn.Module, x: Tensor, names: Sequence[str]) -> list[str]:
    """The layers whose spatial positions, and not their class token alone, the score depends on."""
    captured = capture(model, noise_like(x), names)
    scores = captured._scores.gather(1, captured.logits.argmax(1, keepdim=True)).sum()
    if not scores.requires_grad:
        return []
    gradients = torch.autograd.grad(scores, captured._outputs, allow_unused=True)
    layers = zip(captured.layers, captured.layouts, gradients, strict=True)
    return [n for n, layout, g in layers if g is not None and bool(layout.maps(g).count_nonzero())]


def _negative(output: Tensor) -> float:
    total = output.abs().sum()
    return float(-output.clamp_max(0).sum() / total) if total > 0 else 0.0


def _outputs(
    model: nn.Module, x: Tensor, attentions: list[tuple[str, int]] | None = None
) -> list[tuple[LayerOutput, Layout]]:
    """Layers with maps in the order in which they end; `attentions` is filled with (name, how many of these
    layers ended before it)."""
    outputs: dict[str, tuple[LayerOutput, Layout]] = {}

    def note(name: str, module: nn.Module, output: Any) -> None:
        if attentions is not None and "Attention" in type(module).__name__:
            attentions.append((name, len(outputs)))
        size, before = (x.shape[2], x.shape[3]), outputs[name][1] if name in outputs else None
        layout = None if isinstance(module, POOLING_1D) else layout_in(model, output, 1, size)
        if layout and layout.plausible(size) and layout.supersedes(before):
            outputs.pop(name, None)  # in the order of the runs that count
            c, h, w = layout.maps(output).shape[1:]
            outputs[name] = LayerOutput(name, type(module).__name__, (c, h, w), _negative(output)), layout

    names = {module: name for name, module in model.named_modules() if name}
    watch(
        model,
        x[:1],
        names,
        lambda module, given: None,
        lambda module, output: note(names[module], module, output),
    )
    return list(outputs.values())
