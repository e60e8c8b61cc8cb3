"""Random weights of large networks: initial values from a table of random numbers, which takes a tenth of the
time; and fewer layers of one kind."""

import inspect
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn

LARGE = 20_000  # values from which a tensor gets them from the table
LENGTH = 1_000_003
NAMES = (
    "uniform_",
    "normal_",
    "trunc_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "xavier_uniform_",
    "xavier_normal_",
)


def quick_weights(patch: pytest.MonkeyPatch) -> None:
    """`torch.nn.init` fills large tensors with uniform random numbers of the mean and deviation that they
    would have; no two tensors get the same ones."""
    table = (torch.rand(LENGTH, generator=torch.Generator().manual_seed(1)) * 2 - 1) * 3**0.5
    begin = count(0, 7919)
    for name in NAMES:
        patch.setattr(nn.init, name, _filling(name, getattr(nn.init, name), table, begin))


def _filling(name: str, original: Callable[..., Tensor], table: Tensor, begin: Any) -> Callable[..., Tensor]:
    signature = inspect.signature(original)

    def fill(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
        if tensor.numel() < LARGE or tensor.is_meta or not tensor.is_contiguous():
            return original(tensor, *given, **named)
        bound = signature.bind(tensor, *given, **named)
        bound.apply_defaults()
        mean, std = moments(name, bound.arguments)
        flat, at, first = tensor.data.view(-1), 0, next(begin) % (LENGTH // 2)
        while at < len(flat):
            part = flat[at : at + LENGTH - first]
            torch.mul(table[first : first + len(part)], std, out=part)
            at, first = at + len(part), 0
        if mean:
            tensor.data += mean
        return tensor

    return fill


def moments(name: str, given: dict[str, Any]) -> tuple[float, float]:
    """Mean and standard deviation of a function of `torch.nn.init` with these arguments."""
    if name == "uniform_":
        return (given["a"] + given["b"]) / 2, (given["b"] - given["a"]) / 12**0.5
    if name in ("normal_", "trunc_normal_"):
        return given["mean"], given["std"]
    if name.startswith("kaiming"):
        fan = nn.init._calculate_correct_fan(given["tensor"], given["mode"])
        return 0.0, nn.init.calculate_gain(given["nonlinearity"], given["a"]) / fan**0.5
    fans = nn.init._calculate_fan_in_and_fan_out(given["tensor"])
    return 0.0, given["gain"] * (2 / sum(fans)) ** 0.5


def two_layers(patch: pytest.MonkeyPatch) -> None:
    """torchvision's vision transformers have two layers of twelve and more: the same parts, fewer of them."""
    from torchvision.models import vision_transformer

    build = vision_transformer._vision_transformer
    patch.setattr(
        vision_transformer,
        "_vision_transformer",
        lambda *given, **named: build(*given, **{**named, "num_layers": 2}),
    )


def shortened(model: nn.Module, kept: int = 2) -> nn.Module:
    """The same parts, fewer of them: of blocks of the same layers that follow one another, the first ones."""
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            run, before, extra = 0, None, []
            for i, block in enumerate(module):
                shapes = [tuple(p.shape) for p in block.parameters()]
                layers = type(block), [type(m) for m in block.modules()], shapes
                run = run + 1 if shapes and layers == before else 1
                before = layers
                extra += [i] if run > kept else []
            for i in reversed(extra):
                del module[i]
    return model
