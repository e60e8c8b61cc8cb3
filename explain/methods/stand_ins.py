"""Activation modules for methods that change the backward pass: none in place, none shared, none a bare
function.

DeepLift, guided backpropagation, deconvolution and LRP register hooks on modules. That fails, or is silently
wrong, where a module runs several times (torchvision's ResNet, and every network with one shared LeakyReLU or
SiLU), works in place (MobileNet), or is a function call (DenseNet). A network with a shared activation
computes the same function as one with separate activations; so for the duration of the method every call gets
a module of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from explain.network.model_state import frozen
from models.errors import UserError

Kind = Literal["exact", "guided", "open", "relevance"]
"""The method: DeepLift; guided backpropagation and deconvolution; projections of single units; LRP."""


def _functions(*names: str) -> set[Any]:
    """The functions of these names in torch, in torch.nn.functional and of tensors, and their in-place
    variants."""
    homes, ends = (F, torch, Tensor), ("", "_")
    return {getattr(h, name + end) for h in homes for name in names for end in ends if hasattr(h, name + end)}


RELU, TANH = _functions("relu"), _functions("tanh")
SIX = _functions("relu6", "hardtanh")
OTHERS = """celu clamp clamp_max clamp_min elu gelu hardshrink hardsigmoid hardswish leaky_relu logsigmoid
mish prelu rrelu selu sigmoid silu softplus softshrink softsign tanhshrink threshold _threshold"""
ELEMENTWISE = RELU | TANH | SIX | _functions(*OTHERS.split())
MAX_POOL = {getattr(F, f"{kind}max_pool{n}d") for kind in ("", "adaptive_") for n in (1, 2, 3)}
MAX_POOL |= {torch.max_pool1d, torch.max_pool2d, torch.max_pool3d}
ADD = _functions("add", "mul") | {Tensor.__add__, Tensor.__radd__, Tensor.__iadd__, Tensor.__mul__}
CAT = {torch.cat, torch.concat, torch.concatenate}

HOOKED = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    nn.Softmax,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
)
"""Captum registers hooks on these by itself, even where they run several times."""


class Call(nn.Module):
    """One function call as a module. `function` is set anew at every call, with its other arguments."""

    function: Callable[[Tensor], Tensor]
    name: str

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Elementwise(Call):
    """A call of an elementwise function, such as an activation."""


class MaxPool(Call):
    """A call of max pooling."""


class ClippedRelu(nn.ReLU):
    """ReLU6 as one ReLU, for rules about the sign of gradients, which must apply to each activation once."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, 6)


class OpenRelu(nn.ReLU):
    """ReLU6 with the gradient of a ReLU, so that activations above 6 can still be projected to the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        positive = x.relu()
        return positive + (positive.clamp(max=6) - positive).detach()


class StandIn(nn.Module):
    """Replaces a layer in the network, so that hooks on the layer do not run; its function call becomes a
    fresh module.

    The layer stays as a child: LRP looks for rules on modules without children.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.forward(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # the network may read an attribute of the layer
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


class FreshModules(TorchFunctionMode):
    """While active, each activation call that depends on the images runs as a separate module, the same in
    every pass.

    The first forward pass creates the modules; hooks registered after it run in later passes. `joins`:
    whether the network combines branches (a skip connection, a concatenation, a gate).
    """

    def __init__(self, kind: Kind):
        super().__init__()
        self.kind, self.modules, self.joins = kind, nn.ModuleList(), False
        self._passes, self._turn, self._images = 0, 0, 1

    def begin(self, images: int) -> None:
        """Start a forward pass of so many images."""
        self._passes, self._turn, self._images = self._passes + 1, 0, images

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = self._kind_of(func, args, kwargs)
        if kind is not None and self._applies(args, kwargs):
            return self._run(kind, func, args, kwargs)
        self.joins |= func in CAT or (
            func in ADD and sum(isinstance(a, Tensor) and a.ndim > 1 for a in args) > 1
        )
        return func(*args, **kwargs)

    def _kind_of(self, func: Any, args: Any, kwargs: dict[str, Any]) -> type[nn.Module] | None:
        """The module class for a call, or None for a call that stays as it is."""
        if self.kind == "exact":
            return Elementwise if func in ELEMENTWISE else MaxPool if func in MAX_POOL else None
        if func in RELU:
            return nn.ReLU
        if func in SIX and (func is F.relu6 or _limits(args, kwargs) == (0, 6)):
            return OpenRelu if self.kind == "open" else ClippedRelu
        if self.kind == "relevance":
            return nn.Tanh if func in TANH else Elementwise if func in ELEMENTWISE else None
        return None

    def _applies(self, args: Any, kwargs: dict[str, Any]) -> bool:
        """Whether the first argument, and no other, depends on the images. DeepLift splits batches into
        images and baselines, so there the first dimension must be that of the images."""
        x, *others = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        if not x.requires_grad or x.ndim == 0 or any(a.requires_grad for a in others):
            return False
        return self.kind != "exact" or len(x) % self._images == 0

    def _run(self, kind: type[nn.Module], func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        module, x = self._next(kind), args[0] if args else kwargs["input"]
        in_place = kind is not MaxPool and _in_place(func, args, kwargs)
        if isinstance(module, Call):
            rest = {name: value for name, value in kwargs.items() if name != "input"}
            module.function, module.name = lambda y: func(y, *args[1:], **rest), func.__name__
        # a tensor of its own: otherwise Captum's hook also replaces the gradient of other uses of x,
        # and has no effect where x is the output of another hooked module
        y: Tensor = module(x.clone() if in_place else x.view_as(x))
        return x.copy_(y) if in_place else y

    def _next(self, kind: type[nn.Module]) -> nn.Module:
        if self._turn == len(self.modules) and self._passes == 1:
            self.modules.append(kind())
        module = self.modules[self._turn] if self._turn < len(self.modules) else None
        if type(module) is not kind:
            raise UserError(
                "The network calls different activations in each forward pass, which this method "
                "does not support: use SmoothGrad or Occlusion."
            )
        self._turn += 1
        return module


def _in_place(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return bool(func.__name__.endswith("_") or kwargs.get("inplace") or any(a is True for a in args[1:]))


def _limits(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    low, high = args[1:2] or [kwargs.get("min_val", -1)], args[2:3] or [kwargs.get("max_val", 1)]
    return low[0], high[0]


@contextmanager
def stand_ins(model: nn.Module) -> Iterator[None]:
    """Replace the layers on which Captum registers hooks, disable in-place modules, and freeze the
    parameters.

    Everything is restored at the end, also after an error.
    """
    # `named_children` would skip the second name of a shared module
    children = [
        (parent, name, child) for parent in model.modules() for name, child in parent._modules.items()
    ]
    replaced = [(parent, name, child) for parent, name, child in children if isinstance(child, HOOKED)]
    in_place = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    marks = [(module, set(module.__dict__)) for module in model.modules()]
    shared: dict[int, StandIn] = {}
    try:
        for parent, name, child in replaced:
            parent._modules[name] = shared.setdefault(id(child), StandIn(child))
        for module in in_place:
            module.inplace = False  # type: ignore[assignment]
        with frozen(model):
            yield
    finally:
        for parent, name, child in replaced:
            parent._modules[name] = child
        for module in in_place:
            module.inplace = True  # type: ignore[assignment]
        for module, names in marks:  # Captum leaves attributes on modules when it is interrupted
            for extra in set(module.__dict__) - names:
                del module.__dict__[extra]
