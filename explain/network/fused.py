"""A faster copy of a network for inference: batch norms fused into the convolutions before them, ReLUs
computed with the convolutions.

A run needs thousands of forward passes, Score-CAM one per channel, and the layers between convolutions cost
as much time as the convolutions. The copy shares every other weight with the model, which is not changed.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from explain.network.hooks import capture, logits, watch
from models.foreign.networks import access_of

CLOSE = {"fp32": 1e-4, "bf16": 5e-2}
"""By how much the logits may differ, as a fraction of the largest."""


@dataclass(frozen=True, eq=False)
class Chain:
    """A convolution, and the batch norm and the ReLU that take its output one after the other, and that no
    other layer takes."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None
    relu: nn.Module | None


class ConvRelu(nn.Module):
    """A convolution that writes its output once, through the ReLU: oneDNN's, where there is no graph to
    keep."""

    def __init__(self, conv: nn.Conv2d, relu: nn.Module):
        super().__init__()
        self.conv, self.relu = conv, relu
        self._activation = ("hardtanh", [0.0, 6.0], "") if isinstance(relu, nn.ReLU6) else ("relu", [], "")
        self._cast: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self.relu(self.conv(x))
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if dtype not in self._cast:
            bias = self.conv.bias
            self._cast[dtype] = (
                self.conv.weight.detach().to(dtype),
                None if bias is None else bias.detach().to(dtype),
            )
        conv, (weight, bias) = self.conv, self._cast[dtype]
        return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
            x.to(dtype),
            weight,
            bias,
            list(conv.padding),
            list(conv.stride),
            list(conv.dilation),
            conv.groups,
            *self._activation,
        )


def fused_copy(
    model: nn.Module, x: Tensor, layers: Sequence[str] = (), precision: str = "fp32", relus: bool = True
) -> nn.Module:
    """A network whose logits, and whose outputs at `layers`, are those of `model` in eval mode; `x` (N, C, H,
    W): images to compare them on. `relus`: whether they may be computed with the convolutions, which is
    faster where no gradient is needed.

    Layers have the same names. The model itself, where there is nothing to fuse or the logits would differ.
    """
    if access_of(model) != "modules":
        return model
    try:
        chains = _chains(model, x[:1], layers)
        copy = _copy(model, chains, relus and x.device.type == "cpu") if chains else model
        return copy if copy is not model and _same(model, copy, x[:1], layers, precision) else model
    except Exception:  # of any network: one that cannot be watched or copied is used as it is
        return model


def _chains(model: nn.Module, x: Tensor, layers: Sequence[str]) -> list[Chain]:
    """A chain ends before an output at one of `layers`."""
    flow = _Flow(model, layers)
    watch(model, x, flow.watched, flow.take, flow.put)
    chains = []
    for conv in flow.takers:
        if isinstance(conv, nn.Conv2d) and flow.runs[conv] == 1 and not _has_hooks(conv):
            norm = flow.after(conv, _is_norm)
            chains.append(
                Chain(conv, norm, flow.after(norm or conv, lambda m: type(m) in (nn.ReLU, nn.ReLU6)))
            )
    return [chain for chain in chains if chain.norm or chain.relu]


class _Flow:
    """Which module takes the output of which other, recorded in one forward pass."""

    def __init__(self, model: nn.Module, layers: Sequence[str]):
        modules = dict(model.named_modules(remove_duplicate=False))
        self.parts = dict.fromkeys(
            m for m in modules.values() if _is_norm(m) or not (m._modules or isinstance(m, nn.Identity))
        )
        self.wanted = {modules[name] for name in layers}
        self.watched = [*self.parts, *(self.wanted - self.parts.keys())]
        self.runs, self.takers = Counter[nn.Module](), dict[nn.Module, list[nn.Module]]()
        self._maker, self._requested = dict[tuple[int, int], nn.Module](), set[nn.Module]()
        self._held: list[Any] = []  # so that no two tensors have one id

    def take(self, module: nn.Module, given: Any) -> None:
        self._held.append(given)
        if module in self.parts:
            self.runs[module] += 1
            self.takers.setdefault(module, [])
            for tensor in given:
                if _known(tensor) in self._maker:
                    self.takers[self._maker[_known(tensor)]].append(module)

    def put(self, module: nn.Module, output: Any) -> None:
        self._held.append(output)
        if module in self.parts:
            self._maker[_known(output)] = module  # a ReLU in place outputs the tensor that it took
        if module in self.wanted and _known(output) in self._maker:
            self._requested.add(self._maker[_known(output)])

    def after(self, module: nn.Module, fitting: Callable[[nn.Module], bool]) -> Any:
        """The only module that takes the output of this one, if it is of a fitting kind and runs once."""
        if len(self.takers[module]) != 1 or module in self._requested:
            return None
        (taker,) = self.takers[module]
        return taker if fitting(taker) and self.runs[taker] == 1 and not _has_hooks(taker) else None


def _known(tensor: Any) -> tuple[int, int]:
    """Identity and version: a tensor that was changed in place is another one."""
    return id(tensor), tensor._version if isinstance(tensor, Tensor) else 0


def _copy(model: nn.Module, chains: list[Chain], relus: bool) -> nn.Module:
    """The model with its chains fused; other weights are shared. `relus`: ReLUs too."""
    copies: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copy = deepcopy(model, copies)
    children = [
        (parent, name, id(child)) for parent in copy.modules() for name, child in parent._modules.items()
    ]
    instead: dict[int, nn.Module] = {}
    for chain in chains:
        conv = copies[id(chain.conv)]
        if chain.norm is not None:
            _fuse_norm(conv, chain.conv, chain.norm)
            rest = copies[id(chain.norm)]  # timm's batch norms hold the activation that follows
            instead[id(rest)] = nn.Sequential(OrderedDict(rest._modules))
        if relus and chain.relu is not None and _takes_relu(conv):
            relu = copies[id(chain.relu)]
            instead[id(conv)], instead[id(relu)] = ConvRelu(conv, relu), nn.Identity()
    for parent, name, child in children:
        if child in instead:
            parent._modules[name] = instead[child]
    return copy


def _fuse_norm(copy: nn.Conv2d, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give the copy of a convolution the weights that include the batch norm."""
    copy.weight, copy.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,  # type: ignore[arg-type]
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,
        norm.weight,
        norm.bias,
    )
    copy.weight.requires_grad_(False), copy.bias.requires_grad_(False)
    copy.to(memory_format=torch.channels_last)


def _takes_relu(conv: nn.Module) -> bool:
    """Whether `ConvRelu` computes this convolution."""
    return type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _is_norm(module: nn.Module) -> bool:
    """Batch norm with running statistics; of its subclasses only timm's, whose modules run after it."""
    plain = type(module) is nn.BatchNorm2d or (
        isinstance(module, nn.BatchNorm2d) and set(module._modules) == {"drop", "act"}
    )
    return plain and module.running_mean is not None


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or hasattr(module, "parametrizations"))


def _same(model: nn.Module, copy: nn.Module, x: Tensor, layers: Sequence[str], precision: str) -> bool:
    def answers(network: nn.Module) -> list[Tensor]:
        if not layers:
            return [logits(network, x, precision)]
        captured = capture(network, x, layers, precision)
        return [captured.logits, *captured.activations]

    pairs = zip(answers(model), answers(copy), strict=True)
    return all(float((a - b).abs().max()) <= CLOSE[precision] * float(a.abs().max()) for a, b in pairs)
