"""Layer-wise relevance propagation, by Captum."""

from collections import Counter
from copy import deepcopy

from torch import Tensor, nn

from explain.methods.inputs import MethodInputs
from explain.methods.scorer import captum, pixels
from explain.methods.stand_ins import Elementwise
from explain.network.hooks import watch
from models.errors import UserError

INSTEAD = "use Integrated Gradients or DeepLift."


def lrp(inputs: MethodInputs) -> Tensor:
    """Layer-wise relevance propagation with Captum's rules: the epsilon rule for weighted layers, relevance
    unchanged through ReLUs.

    Layers that run several times are separated first. Raises UserError for a network with branches, whose
    relevance Captum would count twice, and for layers that have no rule.
    """
    from captum.attr import LRP

    with captum(inputs, 2, "relevance", copy=True) as (net, more):
        if net.joins:
            raise UserError(f"LRP is for networks without branches, and this one joins some: {INSTEAD}")
        _prepare(net.model, inputs.x)
        try:
            return pixels(LRP(net).attribute(**more))
        except TypeError as error:
            kind = str(error).partition("<class '")[2].partition("'")[0].rpartition(".")[2]
            functions = [module.name for module in net.relus or [] if isinstance(module, Elementwise)]
            names = {"Elementwise": (functions or [""])[0], "ClippedRelu": "ReLU6"}
            raise _no_rule(names.get(kind, kind)) from error


def _no_rule(kind: str) -> UserError:
    return UserError(f"LRP has no rule for a layer of this network ({kind}): {INSTEAD}")


def _prepare(model: nn.Module, x: Tensor) -> None:
    """Change a copy of the network so that every layer runs once and has a rule, or none if it changes
    nothing.

    Raises UserError for a layer that has both weights and children: Captum reads the innermost modules alone,
    and would skip these weights.
    """
    from captum.attr._utils.lrp_rules import EpsilonRule

    for module in model.modules():
        if (module._modules and _has_weights(module)) or hasattr(module, "parametrizations"):
            raise _no_rule(type(module).__name__)
        if isinstance(module, nn.BatchNorm1d):
            module.rule = EpsilonRule()  # type: ignore[assignment] # as Captum does for BatchNorm2d
    runs, instead = _runs(model, x), dict[nn.Module, nn.Module]()
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is None:
                continue
            if isinstance(child, nn.Identity | nn.Flatten) or "Dropout" in type(child).__name__:
                parent._modules[name] = Unchanged(child)
            elif runs[child] > 1:
                parent._modules[name] = instead.setdefault(child, InTurn(child, runs[child]))


def _has_weights(module: nn.Module) -> bool:
    """Parameters, or constants such as the statistics of a batch norm, of its own."""
    tensors = [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
    return any(t.is_floating_point() for t in tensors)


def _runs(model: nn.Module, x: Tensor) -> Counter[nn.Module]:
    """How often each innermost module runs in one forward pass."""
    runs = Counter[nn.Module]()
    layers = [module for module in model.modules() if not module._modules]
    watch(model, x[:1], layers, lambda module, given: None, lambda module, output: runs.update([module]))
    return runs


class InTurn(nn.Module):
    """A layer that runs several times in a pass, as one copy for each run, with shared weights: Captum keeps
    the input of a layer on the layer."""

    def __init__(self, layer: nn.Module, runs: int):
        super().__init__()
        tensors = {id(tensor): tensor for tensor in (*layer.parameters(), *layer.buffers())}
        self.layers, self._turn = nn.ModuleList(deepcopy(layer, dict(tensors)) for _ in range(runs)), 0

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layers[self._turn % len(self.layers)]
        self._turn += 1
        return layer(x)  # type: ignore[no-any-return]


class Unchanged(nn.Module):
    """A layer that is the identity in eval mode and for which Captum has no rule: its child is a layer that
    Captum knows."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.known = nn.Dropout(0)
        self.ends = (layer.start_dim, layer.end_dim) if isinstance(layer, nn.Flatten) else None

    def forward(self, x: Tensor) -> Tensor:
        return self.known(x).flatten(*self.ends) if self.ends else self.known(x)
