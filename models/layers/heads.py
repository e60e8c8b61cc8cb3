"""New heads on trained bases: a linear layer, or two dense layers, on what global average pooling leaves.

The network keeps its class and the names of its layers; only its last part is exchanged, so that its own
weights load into it and every explainer finds the layers it knows.
"""

from collections import OrderedDict

import torch
from torch import nn

from models.checkpoints import head_key
from models.errors import UserError

HIDDEN = (512, 256)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


class Head(nn.Sequential):
    """(N, C) or (N, C, 1, 1) -> (N, outputs); its last layer is the linear one."""

    def __init__(self, kind: str, inputs: int, outputs: int):
        hidden: list[tuple[str, nn.Module]] = []
        for i, width in enumerate(HIDDEN if kind == "dense" else ()):
            hidden += [
                (f"dense{i + 1}", nn.Linear(inputs, width)),
                (f"relu{i + 1}", nn.ReLU()),
                (f"dropout{i + 1}", nn.Dropout(0.4)),
            ]
            inputs = width
        if kind == "linear":
            hidden = [("dropout", nn.Dropout(0.2))]
        super().__init__(
            OrderedDict([("flatten", nn.Flatten(1)), *hidden, ("linear", nn.Linear(inputs, outputs))])
        )


def attach(model: nn.Module, kind: str, outputs: int, size: tuple[int, int], channels: int = 3) -> str:
    """Replace the last part of `model` by a new `Head`; returns the head's name in the model.

    A single last linear layer is exchanged alone. Where there are several (VGG, AlexNet, MobileNetV3), all of
    them go, and the pooling before them becomes global average pooling.
    """
    path = head_key(model).removesuffix(".weight")
    if isinstance(model.get_submodule(path.rpartition(".")[0]), Head):
        path = path.rpartition(".")[0]
    top = path.split(".")[0]
    whole = _linears(model.get_submodule(top)) > 1 and isinstance(getattr(model, "avgpool", None), nn.Module)
    if whole:
        model.avgpool = nn.AdaptiveAvgPool2d(1).train(model.training)
        path = top
    if not isinstance(model.get_submodule(path), nn.Linear | nn.Sequential):
        raise UserError(
            f"{type(model).__name__} ends in a {type(model.get_submodule(path)).__name__}: only a linear "
            "layer can be exchanged."
        )
    model.set_submodule(path, nn.Identity())
    model.set_submodule(path, Head(kind, _width(model, size, channels), outputs).train(model.training))
    return path


def _linears(module: nn.Module) -> int:
    return sum(isinstance(m, nn.Linear) for m in module.modules())


def _width(model: nn.Module, size: tuple[int, int], channels: int) -> int:
    """The number of features before the head; `model` has the identity in its place."""
    was = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            features = model.eval()(torch.zeros(1, channels, *size))
    finally:
        for module, mode in was.items():
            module.training = mode
    return int(features.flatten(1).shape[1])


def blocks(model: nn.Module, head: str) -> list[tuple[str, nn.Module]]:
    """Blocks of the base in execution order: plain `Sequential`s are split, a layer without matrices (a norm)
    belongs to the block before it, and the head is left out."""
    found: list[tuple[str, nn.Module]] = []
    for name, module in _parts(model, "", head):
        if found and all(p.ndim < 2 for p in module.parameters()):
            found[-1] = (found[-1][0], nn.ModuleList([found[-1][1], module]))
        else:
            found.append((name, module))
    return found


def _parts(module: nn.Module, prefix: str, head: str) -> list[tuple[str, nn.Module]]:
    parts: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if path == head or not any(True for _ in child.parameters()):
            continue
        inside = type(child) in (nn.Sequential, nn.ModuleList) or head.startswith(f"{path}.")
        parts += _parts(child, f"{path}.", head) if inside else [(path, child)]
    return parts


def freeze(model: nn.Module, head: str, unfreeze: int) -> tuple[list[nn.Module], list[str]]:
    """Train only the head and the last `unfreeze` blocks. Returns the modules that must stay in eval mode
    (frozen blocks, and every batch-norm of the base, whose statistics are kept), and the names of the trained
    blocks. Raises UserError where the network has fewer blocks."""
    found = blocks(model, head)
    if unfreeze > len(found):
        raise UserError(
            f"--unfreeze {unfreeze}: {type(model).__name__} has {len(found)} blocks before its head; 1 to "
            f"{len(found)} can be chosen."
        )
    cut = len(found) - unfreeze
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for _, module in found[cut:]:
        module.requires_grad_(True)
    model.get_submodule(head).requires_grad_(True)
    still = [module for _, module in found[:cut]]
    still += [m for _, block in found[cut:] for m in block.modules() if isinstance(m, NORMS[0])]
    return still, [name for name, _ in found[cut:]]
