"""The only file that registers hooks: what a layer puts out, and the gradient of a score with respect to it.

The network runs without a graph up to the target layer; the graph begins there, at a detached copy of the layer's
output, so that a map costs little more than a forward pass and no parameter ever receives a gradient.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import UserError


@dataclass(frozen=True, eq=False)
class Capture:
    """One forward pass: `logits` (N, K) and the target layer's output `activation` (N, C, h, w), both detached."""

    layer: str
    logits: Tensor
    activation: Tensor
    _scores: Tensor
    _leaf: Tensor

    def gradient(self, target: Tensor) -> Tensor:
        """d logit[target] / d activation, (N, C, h, w); `target` (N,) class indices, each image its own."""
        classes = self.logits.shape[1]
        if len(target) != len(self.logits) or bool(((target < 0) | (target >= classes)).any()):
            raise UserError(f"Target classes {target.tolist()[:8]} do not fit {len(self.logits)} images of {classes} classes.")
        if not self._scores.requires_grad:
            raise UserError(unreached(self.layer))
        score = self._scores.gather(1, target[:, None].to(self._scores.device)).sum()
        (gradient,) = torch.autograd.grad(score, self._leaf, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise UserError(unreached(self.layer))
        return gradient.float()


def unreached(layer: str) -> str:
    return f"No gradient reaches layer '{layer}' from the output: choose a layer that the prediction depends on."


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Run in eval mode; afterwards every module's mode, and the global gradient mode, are what they were."""
    modes = [(module, module.training) for module in model.modules()]
    grad = torch.is_grad_enabled()
    try:
        model.eval()
        yield
    finally:
        torch.set_grad_enabled(grad)
        for module, mode in modes:
            module.training = mode


def capture(model: nn.Module, x: Tensor, layer: str, precision: str = "fp32") -> Capture:
    """Run `model` on `x` (N, C, H, W) and keep the output of `layer`. `precision`: 'fp32' or 'bf16' (autocast).

    The model and `x` are left as they were, also after an error. Raises UserError for a layer that does not exist, does
    not run, or puts out something else than maps (N, C, h, w).
    """
    module = find_layer(model, layer)
    kept: list[Tensor] = []

    def begin_graph(_: nn.Module, __: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(f"Layer '{layer}' puts out {shape}: maps need a layer with (N, C, h, w), such as a convolution.")
        torch.set_grad_enabled(True)
        kept[:] = [output.detach().requires_grad_()]
        return kept[0].clone()  # a copy: the next layer may work in place

    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.callback(module.register_forward_hook(begin_graph).remove)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = model(x)
    if not kept:
        raise UserError(f"Layer '{layer}' did not run in the forward pass: choose one that does.")
    scores = scores.flatten(1).float()
    return Capture(layer, scores.detach(), kept[0].detach().float(), scores, kept[0])


def logits(model: nn.Module, x: Tensor, precision: str = "fp32") -> Tensor:
    """(N, K) without any graph."""
    with as_found(model), torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return model(x).flatten(1).float()


def find_layer(model: nn.Module, name: str) -> nn.Module:
    modules = dict(model.named_modules())
    if not name or name not in modules:
        import difflib

        near = difflib.get_close_matches(name, [m for m in modules if m], 3, cutoff=0.3) or list(modules)[1:4]
        raise UserError(f"No layer '{name}': near are {', '.join(near)}.")
    return modules[name]


@dataclass(frozen=True)
class LayerOutput:
    """A layer that puts out maps: its name, the kind of module, and `shape` (C, h, w) for one image."""

    name: str
    kind: str
    shape: tuple[int, int, int]


def map_layers(model: nn.Module, x: Tensor) -> list[LayerOutput]:
    """Every layer that puts out maps (N, C, h, w) larger than one point, in the order in which they end. One forward."""
    return [layer for layer in _outputs(model, x)[0] if min(layer.shape[1:]) > 1]


def default_layer(model: nn.Module, x: Tensor) -> str:
    """The last layer at the resolution of the last convolution: its outermost name, after batch-norm and ReLU.

    Raises UserError for a network without a convolution, or with attention after the last one.
    """
    outputs, attention = _outputs(model, x)
    convolutions = [i for i, layer in enumerate(outputs) if "Conv" in layer.kind and min(layer.shape[1:]) > 1]
    if not convolutions:
        raise UserError(f"{type(model).__name__} has no convolution that puts out maps: class-activation maps need one.")
    last = convolutions[-1]
    if any(position > last for position in attention):
        raise UserError(f"{type(model).__name__} attends after its last convolution '{outputs[last].name}': "
                        "it has no maps of its own; name a layer that puts out (N, C, h, w) with --layer.")  # fmt: skip
    same = [layer for layer in outputs[last:] if layer.shape[1:] == outputs[last].shape[1:]]
    return same[-1].name


def _outputs(model: nn.Module, x: Tensor) -> tuple[list[LayerOutput], list[int]]:
    """Layers with 4-D outputs in the order in which they end, and after how many of them attention ran."""
    found: list[LayerOutput] = []
    attention: list[int] = []

    def note(name: str, module: nn.Module, output: Any) -> None:
        if "Attention" in type(module).__name__:
            attention.append(len(found))
        if isinstance(output, Tensor) and output.ndim == 4:
            _, c, h, w = output.shape
            found.append(LayerOutput(name, type(module).__name__, (c, h, w)))

    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode())
        for name, module in model.named_modules():
            if name:
                hook = module.register_forward_hook(lambda m, _, out, name=name: note(name, m, out))
                stack.callback(hook.remove)
        model(x[:1])
    return found, attention
