"""ReLUs as methods want them that change how gradients go back: none in place, none used twice, none that is a mere function.

DeepLift, guided backpropagation, deconvolution and LRP hang hooks on ReLU modules. torchvision's ResNet uses one module
three times a block, MobileNet's is a ReLU6 in place, DenseNet calls functions: all of them would be wrong or fail.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Kind = Literal["exact", "guided", "open"]
RELU = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
ADD = {torch.add, torch.mul, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__, Tensor.mul, Tensor.__mul__}
CAT = {torch.cat, torch.concat, torch.concatenate}


class Clipped(nn.Module):
    """ReLU6 as two plain ReLUs, for rules that must hold exactly: 6 - relu(6 - relu(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return 6 - self.high(6 - self.low(x))


class ClippedRelu(nn.ReLU):
    """ReLU6 as one ReLU, for rules about the sign of gradients, which must meet each activation once."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0, 6)


class OpenRelu(nn.ReLU):
    """ReLU6 whose gradient is a ReLU's, so that what exceeds 6 can still be led back to the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        positive = x.relu()
        return positive + (positive.clamp(max=6) - positive).detach()


SIX: dict[Kind, type[nn.Module]] = {"exact": Clipped, "guided": ClippedRelu, "open": OpenRelu}


class StandIn(nn.Module):
    """Takes a ReLU's place in the network, so that no hook of its own runs; what it calls is turned into a fresh module.

    The ReLU stays below it, for LRP takes modules without children for layers that need a rule.
    """

    def __init__(self, relu: nn.Module):
        super().__init__()
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x) if isinstance(self.relu, nn.ReLU6) else F.relu(x)


class FreshRelus(TorchFunctionMode):
    """While active, every ReLU that is called runs as a module of its own, the same one at the same turn of every forward pass.

    `joins`: whether the network put branches together (a skip connection, a concatenation, a gate).
    """

    def __init__(self, kind: Kind):
        super().__init__()
        self.modules, self.turn, self.kind, self.joins = nn.ModuleList(), 0, kind, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RELU:
            return self._next(False)(args[0])
        if func is F.relu6 or (func in (F.hardtanh, F.hardtanh_) and _limits(args, kwargs or {}) == (0, 6)):
            return self._next(True)(args[0])
        self.joins |= func in CAT or (func in ADD and sum(isinstance(a, Tensor) and a.ndim > 1 for a in args) > 1)
        return func(*args, **(kwargs or {}))

    def _next(self, six: bool) -> nn.Module:
        if self.turn == len(self.modules):
            self.modules.append(SIX[self.kind]() if six else nn.ReLU())
        self.turn += 1
        return self.modules[self.turn - 1]


def _limits(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    return (args[1] if len(args) > 1 else kwargs.get("min_val", -1), args[2] if len(args) > 2 else kwargs.get("max_val", 1))


@contextmanager
def stand_ins(model: nn.Module) -> Iterator[None]:
    """ReLU modules are replaced, and nothing works in place; afterwards all is as it was, whatever happened."""
    # `named_children` would leave out the second name of a module that has two
    children = [(parent, name, child) for parent in model.modules() for name, child in parent._modules.items()]
    replaced = [(parent, name, child) for parent, name, child in children if isinstance(child, nn.ReLU | nn.ReLU6)]
    in_place = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    marks = [(module, set(module.__dict__)) for module in model.modules()]
    shared: dict[int, StandIn] = {}
    try:
        for parent, name, child in replaced:
            parent._modules[name] = shared.setdefault(id(child), StandIn(child))
        for module in in_place:
            module.inplace = False  # type: ignore[assignment]
        yield
    finally:
        for parent, name, child in replaced:
            parent._modules[name] = child
        for module in in_place:
            module.inplace = True  # type: ignore[assignment]
        for module, names in marks:  # Captum leaves notes on modules where it is interrupted
            for extra in set(module.__dict__) - names:
                del module.__dict__[extra]
