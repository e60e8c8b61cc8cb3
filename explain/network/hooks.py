"""The only file that registers hooks: outputs of layers, the gradient of a score with respect to them, and
other outputs in their place.

The network runs without a graph up to the first target layer; the graph begins there, at a detached copy of
the layer's output, so that a map costs little more than a forward pass and no parameter ever receives a
gradient.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from explain.network.graph_size import saved_bytes
from explain.network.model_state import as_found, frozen, module_at
from explain.network.target import Target, as_target
from models.errors import UserError
from models.layers.layout import Layout, layout_in

CUT = (
    "No gradient reaches the image: the network cuts gradients. Remove torch.no_grad, torch.inference_mode "
    "or detach from its forward, or use a method of scores, such as occlusion."
)
CHANGED = (
    "The network changes a tensor in place that its gradient needs: remove that from its forward, or use a "
    "method of scores, such as occlusion."
)
ONE_BY_ONE = (
    "{what} outputs {shape} for {count} images: the network runs on one image after the other. Use a method "
    "of scores, such as occlusion, or one image at a time (--batch-size 1)."
)
REASONS = {
    "does not require grad": CUT,
    "Inference tensors cannot be saved": CUT,
    "modified by an inplace operation": CHANGED,
}
"""What PyTorch says where a network has no gradient."""


@contextmanager
def gradients_in_one_line() -> Iterator[None]:
    """Raises UserError for a network whose own code prevents gradients."""
    try:
        yield
    except RuntimeError as error:
        for text, reason in REASONS.items():
            if text in str(error):
                raise UserError(reason) from error
        raise


@dataclass(frozen=True, eq=False)
class Capture:
    """One forward pass: `logits` (N, K), and for each of `layers` its maps, `activations` (N, C, h, w), and
    how its output holds them; all detached.

    A layer that runs several times in a pass (a shared activation) is explained at one run: the last whose
    output has more than one spatial position. `turns`: which run that was, from 1. All methods use this run,
    and leave the outputs of other runs as they are. The gradients of the last target are kept: methods share
    them.
    """

    layers: tuple[str, ...]
    logits: Tensor
    activations: tuple[Tensor, ...]
    layouts: tuple[Layout, ...]
    turns: tuple[int, ...]
    _scores: Tensor
    _outputs: tuple[Tensor, ...]
    _gradients: dict[Any, tuple[Tensor, ...]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """What it keeps in memory: maps, gradients as large, and the graph."""
        return 2 * sum(maps.nbytes for maps in self.activations) + saved_bytes(self._scores)

    @property
    def activation(self) -> Tensor:
        """Of the first layer."""
        return self.activations[0]

    def gradients(self, target: Target | Tensor) -> tuple[Tensor, ...]:
        """d score / d activation for each layer, (N, C, h, w); a tensor (N,) of classes means their
        logits."""
        target = as_target(target)
        if target.key not in self._gradients:
            made = self.gradients_of_score(target.score)
            self._gradients.clear()
            self._gradients[target.key] = made
        return self._gradients[target.key]

    def gradients_of_score(self, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        """As `gradients`, for any `score` of the logits (N, K)."""
        total = score(self._scores).sum()
        if not total.requires_grad:
            raise UserError(unreached(self.layers[0]))
        gradients = torch.autograd.grad(total, self._outputs, retain_graph=True, allow_unused=True)
        for layer, gradient in zip(self.layers, gradients, strict=True):
            if gradient is None:
                raise UserError(unreached(layer))
        return tuple(layout.maps(g).float() for layout, g in zip(self.layouts, gradients, strict=True))

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


def capture(model: nn.Module, x: Tensor, layers: str | Sequence[str], precision: str = "fp32") -> Capture:
    """Run `model` on `x` (N, C, H, W) and keep the output of `layers`. `precision`: 'fp32' or 'bf16'
    (autocast).

    Of a layer that runs several times, one run counts (see `Capture`). The model and `x` are left as they
    were, also after an error. Raises UserError for a layer that does not exist, does not run, or outputs no
    maps.
    """
    names = (layers,) if isinstance(layers, str) else tuple(dict.fromkeys(layers))
    modules = [find_layer(model, name) for name in names]
    kept = _Outputs(model, x)
    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for name, module in zip(names, modules, strict=True):
            stack.callback(
                module.register_forward_hook(lambda _, __, output, name=name: kept.add(name, output)).remove
            )
        stack.enter_context(gradients_in_one_line())
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = model(x)
    counted = [kept.of(name) for name in names]
    scores = scores.flatten(1).float()
    outputs, layouts, turns = zip(*counted, strict=True) if names else ((), (), ())
    maps = tuple(
        layout.maps(output.detach()).float() for output, layout in zip(outputs, layouts, strict=True)
    )
    return Capture(names, scores.detach(), maps, layouts, turns, scores, outputs)


class _Outputs:
    """Of each layer that runs, the output that counts, how it holds maps, and which run it was."""

    def __init__(self, model: nn.Module, x: Tensor):
        self.model, self.x = model, x
        self.kept: dict[str, tuple[Tensor, Layout, int]] = {}
        self.runs, self.last = Counter[str](), dict[str, Any]()

    def add(self, name: str, output: Any) -> Tensor | None:
        """What the layer outputs instead, or None. The graph begins at the first output that counts."""
        layout = _layout(self.model, output, self.x)
        self.runs[name], self.last[name] = self.runs[name] + 1, output
        if layout is None or not layout.supersedes(self.kept[name][1] if name in self.kept else None):
            return None
        torch.set_grad_enabled(True)
        # where a layer in front has begun the graph, it goes on
        leaf = output if output.requires_grad else output.detach().requires_grad_()
        self.kept[name] = leaf, layout, self.runs[name]
        return leaf.clone()  # a copy: the next layer may work in place

    def of(self, name: str) -> tuple[Tensor, Layout, int]:
        """Raises UserError for a layer that did not run, or outputs no maps."""
        if name not in self.runs:
            raise UserError(idle(name))
        if name not in self.kept:
            read_layout(self.model, name, self.last[name], self.x)
        return self.kept[name]


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
        gradients = torch.autograd.grad(score, inputs, allow_unused=True) if score.requires_grad else [None]
    if gradients[0] is None:
        raise UserError(CUT)
    return gradients[0], [
        (module, gradient)
        for (module, _), gradient in zip(ran, gradients[1:], strict=True)
        if gradient is not None
    ]


def changed_pass(
    model: nn.Module, x: Tensor, change: Mapping[nn.Module, Callable[[Any], Any]], precision: str = "fp32"
) -> Tensor:
    """Logits (M, K) of images `x` (N, C, H, W) where each module outputs `change[module](its output)`. What
    the changes make differentiable begins the graph; parameters receive no gradient."""
    with ExitStack() as stack:
        stack.enter_context(as_found(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(frozen(model))
        for module, of in change.items():
            stack.callback(module.register_forward_hook(lambda _, __, output, of=of: of(output)).remove)
        stack.enter_context(torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"))
        return model(x.detach().clone()).flatten(1).float()


class _Enough(Exception):
    """The output is there, and the rest of the pass is not needed."""


def reach(
    model: nn.Module, x: Tensor, layer: str, graph: bool = False, given: bool = False, turn: int = 1
) -> Tensor:
    """The output of `layer` for images `x` (N, C, H, W), or its input with `given`; '' is the network itself.
    The forward pass ends there.

    `graph`: it can be differentiated with respect to `x`. `turn`: which run of a layer that runs several
    times (see `turns`). Raises UserError for a layer that does not exist, does not run, or does not output a
    tensor.
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
            f"Layer '{layer}' outputs a {type(kept[-1]).__name__}: choose one that outputs a tensor."
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
    """As `reach` without a graph, and how the output holds maps, or None."""
    output = reach(model, x, layer, turn=turn)
    return output, _layout(model, output, x)


def watch(
    model: nn.Module,
    x: Tensor,
    modules: Iterable[nn.Module],
    before: Callable[[nn.Module, Any], None],
    after: Callable[[nn.Module, Any], None],
) -> None:
    """Run `model` on `x` without a graph, with `before(module, its arguments)` and `after(module, its
    output)` called for each of `modules` that runs."""
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
    if name and (found := module_at(model, name)) is not None:
        return found
    import difflib

    modules = dict(model.named_modules(remove_duplicate=False))  # a shared module has several names
    near = difflib.get_close_matches(name, [m for m in modules if m], 3, cutoff=0.3)
    hint = f"near are {', '.join(near)}" if near else f"the first are {', '.join(list(modules)[1:4])}"
    raise UserError(f"No layer '{name}': {hint}.")


def read_layout(model: nn.Module, name: str, output: Any, x: Tensor) -> Layout:
    """Raises UserError where the output holds no maps."""
    layout = _layout(model, output, x)
    if isinstance(output, Tensor) and output.ndim == 4 and len(x) > 1 == len(output):
        raise UserError(ONE_BY_ONE.format(what=f"Layer '{name}'", shape=tuple(output.shape), count=len(x)))
    if layout is None:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"Layer '{name}' outputs {shape}: maps need a layer with (N, C, h, w), such as a convolution, "
            "or with tokens of spatial positions."
        )
    return layout


def read_maps(model: nn.Module, output: Tensor, x: Tensor) -> Tensor | None:
    """The output of a layer for images `x` as maps (N, C, h, w), or None where it has no spatial
    positions."""
    layout = _layout(model, output, x)
    return layout.maps(output) if layout is not None and min(layout.size) > 1 else None


def _layout(model: nn.Module, output: Any, x: Tensor) -> Layout | None:
    return layout_in(model, output, len(x), (x.shape[2], x.shape[3]))
