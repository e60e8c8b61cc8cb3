"""The only file that registers hooks: what layers put out, the gradient of a score with respect to it, and
other outputs in its place.

The network runs without a graph up to the first target layer; the graph begins there, at a detached copy of
the layer's output, so that a map costs little more than a forward pass and no parameter ever receives a
gradient.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explain.methods.target import Target, as_target
from models.errors import UserError
from models.layout import Layout, layout_of


@dataclass(frozen=True, eq=False)
class Capture:
    """One forward pass: `logits` (N, K), and of each of `layers` its maps, `activations` (N, C, h, w), and
    how its output holds them; all detached.

    A layer that runs several times in a pass (a shared activation) is explained at one run: the last whose
    output has more than one spatial position. `turns`: which run that was, from 1. All methods use this run,
    and leave the outputs of other runs as they are.
    """

    layers: tuple[str, ...]
    logits: Tensor
    activations: tuple[Tensor, ...]
    layouts: tuple[Layout, ...]
    turns: tuple[int, ...]
    _scores: Tensor
    _outputs: tuple[Tensor, ...]

    @property
    def activation(self) -> Tensor:
        """Of the first layer."""
        return self.activations[0]

    def gradients(self, target: Target | Tensor) -> tuple[Tensor, ...]:
        """d score / d activation for each layer, (N, C, h, w); a tensor (N,) of classes means their
        logits."""
        return self.gradients_of_score(as_target(target).score)

    def gradients_of_score(self, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        """As `gradients`, for any `score` of the logits (N, K)."""
        total = score(self._scores).sum()
        if not total.requires_grad:
            raise UserError(unreached(self.layers[0]))
        found = torch.autograd.grad(total, self._outputs, retain_graph=True, allow_unused=True)
        for layer, gradient in zip(self.layers, found, strict=True):
            if gradient is None:
                raise UserError(unreached(layer))
        return tuple(layout.maps(g).float() for layout, g in zip(self.layouts, found, strict=True))

    def curvature(self, target: Target | Tensor) -> Tensor:
        """Of the first layer: the Hessian of the score with respect to the activation, times the activation,
        (N, C, h, w)."""
        output, layout = self._outputs[0], self.layouts[0]
        score = as_target(target).score(self._scores).sum()
        if not score.requires_grad:
            raise UserError(unreached(self.layers[0]))
        (gradient,) = torch.autograd.grad(score, output, create_graph=True, allow_unused=True)
        if gradient is None:
            raise UserError(unreached(self.layers[0]))
        if not gradient.requires_grad:  # the score is linear in the activation
            return torch.zeros_like(self.activations[0])
        (product,) = torch.autograd.grad(
            gradient, output, output.detach(), retain_graph=True, allow_unused=True
        )
        return torch.zeros_like(self.activations[0]) if product is None else layout.maps(product).float()

    def gradient(self, target: Target | Tensor) -> Tensor:
        """Of the first layer."""
        return self.gradients(target)[0]


def unreached(layer: str) -> str:
    return (
        f"No gradient reaches layer '{layer}' from the output: choose a layer that the prediction depends on."
    )


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


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient until the end of the block: what requires one depends on the image."""
    learning = [p for p in model.parameters() if p.requires_grad]
    try:
        for p in learning:
            p.requires_grad_(False)
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


def capture(model: nn.Module, x: Tensor, layers: str | Sequence[str], precision: str = "fp32") -> Capture:
    """Run `model` on `x` (N, C, H, W) and keep the output of `layers`. `precision`: 'fp32' or 'bf16'
    (autocast).

    Of a layer that runs several times, one run counts (see `Capture`). The model and `x` are left as they
    were, also after an error. Raises UserError for a layer that does not exist, does not run, or puts out no
    maps.
    """
    names = (layers,) if isinstance(layers, str) else tuple(dict.fromkeys(layers))
    modules = [find_layer(model, name) for name in names]
    kept: dict[str, tuple[Tensor, Layout, int]] = {}
    ran, last = Counter[str](), dict[str, Any]()

    def keep(name: str, output: Any) -> Tensor | None:
        layout, before = _layout(model, output, x), kept[name][1] if name in kept else None
        ran[name], last[name] = ran[name] + 1, output
        if layout is None or not layout.supersedes(before):
            return None
        torch.set_grad_enabled(True)
        # where a layer in front has begun the graph, it goes on
        kept[name] = output if output.requires_grad else output.detach().requires_grad_(), layout, ran[name]
        return kept[name][0].clone()  # a copy: the next layer may work in place

    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for name, module in zip(names, modules, strict=True):
            stack.callback(
                module.register_forward_hook(lambda _, __, output, name=name: keep(name, output)).remove
            )
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = model(x)
    for name in names:
        if name not in ran:
            raise UserError(idle(name))
        if name not in kept:
            read_layout(model, name, last[name], x)
    scores = scores.flatten(1).float()
    outputs, layouts, turns = zip(*(kept[name] for name in names), strict=True) if names else ((), (), ())
    maps = tuple(
        layout.maps(output.detach()).float() for output, layout in zip(outputs, layouts, strict=True)
    )
    return Capture(names, scores.detach(), maps, layouts, turns, scores, outputs)


def logits(model: nn.Module, x: Tensor, precision: str = "fp32") -> Tensor:
    """(N, K) without any graph."""
    with (
        as_found(model),
        torch.inference_mode(),
        torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        return model(x).flatten(1).float()


@contextmanager
def replaced(
    model: nn.Module, layer: str, x: Tensor, change: Callable[[Tensor], Tensor], turn: int
) -> Iterator[None]:
    """For one forward pass on images `x`: run `turn` of `layer` outputs `change(its maps)`, (N, C, h, w)."""
    ran: list[None] = []

    def put(_: nn.Module, __: Any, output: Any) -> Tensor | None:
        ran.append(None)
        if len(ran) != turn:
            return None
        layout = read_layout(model, layer, output, x)
        return layout.output(change(layout.maps(output)), output)

    handle = find_layer(model, layer).register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()


def idle(layer: str) -> str:
    return f"Layer '{layer}' did not run in the forward pass: choose one that does."


def layers_in(text: str) -> tuple[str, ...]:
    """'features.4, features.8' -> the two names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def gradients_of(
    model: nn.Module, x: Tensor, target: Target, wanted: Callable[[nn.Module], bool]
) -> tuple[Tensor, list[tuple[nn.Module, Tensor]]]:
    """d score / d x (N, C, H, W), and for every `wanted` module whose output depends on the image and reaches
    the score: d score / d its output, once for each run. A whole backward pass; parameters receive no
    gradient. Raises UserError for classes that the network lacks."""
    image, ran = x.detach().clone(), list[tuple[nn.Module, Tensor]]()

    def keep(module: nn.Module, _: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or not output.requires_grad:  # independent of the image
            return None
        ran.append((module, output))
        return output.clone()  # a copy: the next layer may work in place

    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(frozen(model))
        for module in model.modules():
            if wanted(module):
                stack.callback(module.register_forward_hook(keep).remove)
        answers = model(image.requires_grad_().clone())  # a copy: the network may work in place
        score, inputs = target.score(answers.flatten(1).float()).sum(), [image, *(o for _, o in ran)]
        found = torch.autograd.grad(score, inputs, allow_unused=True) if score.requires_grad else [None]
    if found[0] is None:
        raise UserError("No gradient reaches the image: the network cuts it off.")
    return found[0], [
        (module, gradient)
        for (module, _), gradient in zip(ran, found[1:], strict=True)
        if gradient is not None
    ]


class _Enough(Exception):
    """What was asked for is there."""


def reach(
    model: nn.Module, x: Tensor, layer: str, graph: bool = False, given: bool = False, turn: int = 1
) -> Tensor:
    """What `layer` puts out for images `x`, or with `given` what it takes; '' is the network itself. The
    forward pass ends there.

    `graph`: it can be differentiated with respect to `x`. `turn`: of a layer that runs several times, which
    (see `turns`). Raises UserError for a layer that does not exist, does not run, or holds something else
    than numbers.
    """
    module, kept = find_layer(model, layer) if layer else model, list[Any]()

    def keep(value: Any) -> None:
        kept.append(value)
        if len(kept) == turn:
            raise _Enough

    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(not graph))
        stack.enter_context(torch.set_grad_enabled(graph))
        if given:
            stack.callback(module.register_forward_pre_hook(lambda _, inputs: keep(inputs[0])).remove)
        else:
            stack.callback(module.register_forward_hook(lambda _, __, output: keep(output)).remove)
        with suppress(_Enough):
            model(x)
    if not kept:
        raise UserError(idle(layer))
    if not isinstance(kept[-1], Tensor):
        raise UserError(
            f"Layer '{layer}' puts out a {type(kept[-1]).__name__}: choose one that puts out numbers."
        )
    return kept[-1]


def turns(model: nn.Module, x: Tensor, layer: str) -> int:
    """How often `layer` runs in one forward pass: torchvision's ResNet uses one ReLU three times a block."""
    ran: list[None] = []
    watch(
        model,
        x[:1],
        [find_layer(model, layer)] if layer else [],
        lambda module, given: None,
        lambda module, output: ran.append(None),
    )
    return max(1, len(ran))


def output_of(model: nn.Module, x: Tensor, layer: str, turn: int = 1) -> tuple[Tensor, Layout | None]:
    """As `reach` without a graph, and how it holds maps, if it does."""
    output = reach(model, x, layer, turn=turn)
    return output, _layout(model, output, x)


def watch(
    model: nn.Module,
    x: Tensor,
    modules: Iterable[nn.Module],
    before: Callable[[nn.Module, Any], None],
    after: Callable[[nn.Module, Any], None],
) -> None:
    """Run `model` on `x` without a graph; `before(module, its arguments)` and `after(module, its output)`
    hear of each that runs."""
    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(False))  # there tensors have no versions
        stack.enter_context(torch.no_grad())
        for module in modules:
            stack.callback(module.register_forward_pre_hook(before).remove)
            stack.callback(
                module.register_forward_hook(lambda module, _, output: after(module, output)).remove
            )
        model(x)


def find_layer(model: nn.Module, name: str) -> nn.Module:
    modules = dict(model.named_modules(remove_duplicate=False))  # a shared module has several names
    if not name or name not in modules:
        import difflib

        near = difflib.get_close_matches(name, [m for m in modules if m], 3, cutoff=0.3) or list(modules)[1:4]
        raise UserError(f"No layer '{name}': near are {', '.join(near)}.")
    return modules[name]


def read_layout(model: nn.Module, name: str, output: Any, x: Tensor) -> Layout:
    """Raises UserError where the output holds no maps."""
    layout = _layout(model, output, x)
    if layout is None:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"Layer '{name}' puts out {shape}: maps need a layer with (N, C, h, w), such as a convolution, "
            "or with tokens of places."
        )
    return layout


def read_maps(model: nn.Module, output: Tensor, x: Tensor) -> Tensor | None:
    """(N, C, h, w) of what a layer put out for images `x`, or None where it has no places."""
    layout = _layout(model, output, x)
    return layout.maps(output) if layout is not None and min(layout.size) > 1 else None


def _layout(model: nn.Module, output: Any, x: Tensor) -> Layout | None:
    return layout_of(output, len(x), (x.shape[2], x.shape[3]), getattr(model, "num_prefix_tokens", None))
