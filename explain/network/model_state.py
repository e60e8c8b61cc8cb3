"""A model's modes, gradients and hooks, restored after use and after every failure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Run in eval mode; afterwards every module's mode, and the global gradient mode, are what they were."""
    modes = [(module, module.training) for module in model.modules()]
    plain = all(type(m).train is nn.Module.train and type(m).eval is nn.Module.eval for m, _ in modes)
    grad = torch.is_grad_enabled()
    try:
        if plain:
            _set([(module, False) for module, _ in modes])
        else:
            model.eval()  # also where every mode is right: modules of others drop there what they keep
        yield
    finally:
        torch.set_grad_enabled(grad)
        _set(modes)


def _set(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        if module.training != mode:  # to set an attribute of a module is slow
            module.training = mode


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """As `as_found`, for functions from outside: parameters begin without gradients, and afterwards their
    gradients, which of them require one, buffers, and the hooks of all modules are what they were."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    parameters = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    tables = [(table, dict(table)) for m in model.modules() for table in _hook_tables(m)]
    with as_found(model):
        try:
            for p, _, _ in parameters:
                p.grad = None
            yield
        finally:
            for p, grad, requires_grad in parameters:
                p.requires_grad_(requires_grad)
                p.grad = grad
            with torch.no_grad():
                for buffer, kept in buffers:
                    if not torch.equal(buffer, kept):
                        buffer.copy_(kept)
            for table, before in tables:
                table.clear()
                table.update(before)


def _hook_tables(module: nn.Module) -> list[dict[int, Any]]:
    return [
        table for name, table in vars(module).items() if name.endswith("_hooks") and isinstance(table, dict)
    ]


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


def module_at(model: nn.Module, name: str) -> nn.Module | None:
    """The module of this name, as `named_modules` has them, without listing all of them: a transformer's last
    layer is found among hundreds."""
    found: nn.Module | None = model
    for part in name.split("."):
        if found is None or part not in found._modules:
            return None
        found = found._modules[part]
    return found
