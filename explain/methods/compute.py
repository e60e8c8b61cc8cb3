"""A request and its result: `compute_maps(model, x, request)` gives the maps of any method, for one image or
a batch. Runs, the dashboard, the command line and Python all call it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.inputs import MethodInputs, OnProgress, Passes, ignore_progress
from explain.methods.registry import get, methods_for
from explain.methods.request import Classes, MapRequest, Smoothing
from explain.methods.spec import Method
from explain.network.hooks import Capture, gradients_in_one_line, logits
from explain.network.oom import shrinking
from explain.network.stages import named_layers
from explain.network.target import Target
from models.errors import UserError
from models.foreign.networks import access_of, require_access
from models.outputs.regression import is_regression

FUSIONS = ("mean", "max")


@dataclass(frozen=True, eq=False)
class MapResult:
    """`maps` (N, h, w): raw float32 on the CPU, at the layer's own resolution or the input's, never
    normalized.

    `layer`: where they were computed, '' for methods without a layer; `targets` (N,): the classes;
    `expected_sums` (N,): what each map should sum to, y(x) - y(x0), or None where the method promises no sum;
    `seconds`: how long it took.
    """

    maps: Tensor
    request: MapRequest
    layer: str
    targets: tuple[int, ...]
    seconds: float
    expected_sums: Tensor | None = None

    @cached_property
    def raw(self) -> np.ndarray:
        """The map (h, w) of the first image."""
        return self.maps[0].numpy()

    @property
    def target(self) -> int:
        """The class of the first image."""
        return self.targets[0]

    @property
    def expected_sum(self) -> float | None:
        """Of the first image."""
        return None if self.expected_sums is None else float(self.expected_sums[0])


def compute_maps(
    model: nn.Module,
    x: Tensor,
    request: MapRequest,
    *,
    passes: Passes | None = None,
    precision: str = "fp32",
    batch_size: int = 32,
    on_progress: OnProgress = ignore_progress,
) -> MapResult:
    """The maps of `request` for images `x` (N, C, H, W). The model is left as it was.

    `passes`: captured passes of this `x` through this `model`, to share them between calls; they have a
    precision of their own. `batch_size`: images at once in methods of many passes. `on_progress(fraction)` is
    called on the way, and may raise `Cancelled`. Raises UserError for a request that does not fit, and where
    memory does not suffice for one image.
    """
    passes = Passes(model, x, precision) if passes is None else passes
    if passes.model is not model or passes.x is not x:
        raise ValueError("passes= belongs to another network or to other images")
    began, method = time.perf_counter(), method_for(model, request.method)
    settings = method.settings(dict(request.parameters))
    layers = named_layers(model, x, request.layer) if method.layered else ()
    target = _target(passes, request)
    inputs = MethodInputs(model, x, layers, target, passes.precision, batch_size, on_progress, passes)
    with gradients_in_one_line():
        maps, sums = shrinking(lambda _: _smoothed(inputs, method, settings, request), 1)
    classes = tuple(target.plus.tolist())
    return MapResult(maps.cpu(), request, ",".join(layers), classes, time.perf_counter() - began, sums)


def method_for(model: nn.Module, name: str) -> Method:
    """Raises UserError for an unknown method, and where it needs more of the network than can be reached."""
    method, usable = get(name), ", ".join(methods_for(access_of(model)))
    require_access(model, method.access, method.title, f"use {usable}")
    return method


def _target(passes: Passes, request: MapRequest) -> Target:
    def classes(chosen: Classes) -> Tensor:
        return torch.tensor(chosen if isinstance(chosen, tuple) else [int(chosen or 0)] * len(passes.x))

    default = 0 if is_regression(passes.model) else None  # numbers have no largest one
    target = default if request.target is None else request.target
    plus = passes.logits.argmax(1).cpu() if target is None else classes(target)
    return Target(plus, None if request.contrast_class is None else classes(request.contrast_class))


def _smoothed(
    inputs: MethodInputs, method: Method, settings: dict[str, Any], request: MapRequest
) -> tuple[Tensor, Tensor | None]:
    """Maps (N, h, w), averaged where smoothing is asked for; and what they should sum to."""
    smoothing = request.smoothing
    if not (smoothing.flip or smoothing.samples):
        sums = _expected_sums(inputs, settings["base"]) if method.complete else None
        return _maps(inputs, method, settings, request.fuse), sums
    total = None
    for k, (x, mirrored) in enumerate(variations(inputs.x, smoothing)):
        on_progress = partial(_report, inputs, k, smoothing.copies)
        copy = inputs.with_images(x).with_progress(on_progress)
        maps = _maps(copy, method, settings, request.fuse)
        maps = maps.flip(2) if mirrored else maps
        total = maps if total is None else total + maps
        on_progress(1)
    assert total is not None
    return total / smoothing.copies, None


def _report(inputs: MethodInputs, done: int, of: int, fraction: float) -> None:
    inputs.on_progress((done + fraction) / of)


def variations(x: Tensor, smoothing: Smoothing) -> Iterator[tuple[Tensor, bool]]:
    """Copies of the images, and whether each is mirrored."""
    copies = [x]
    if smoothing.samples:
        generator = torch.Generator().manual_seed(smoothing.seed)
        deviation = smoothing.spread * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
        copies = [
            x + deviation * torch.randn(x.shape, generator=generator).to(x) for _ in range(smoothing.samples)
        ]
    for copy in copies:
        yield copy, False
        if smoothing.flip:
            yield copy.flip(3), True


def _expected_sums(inputs: MethodInputs, base: str) -> Tensor:
    """By how much the score exceeds the baseline's (N,)."""
    x, target = inputs.x, inputs.target
    answers = logits(inputs.model, torch.cat([x, baseline(x, base)]), inputs.precision)
    return (target.score(answers[: len(x)]) - target.score(answers[len(x) :])).cpu()


def _maps(inputs: MethodInputs, method: Method, settings: dict[str, Any], fuse: str) -> Tensor:
    if method.needs == "pass":
        return maps_from_pass(inputs.captured, method, settings, inputs.target, fuse)
    if len(inputs.layers) <= 1:
        return method.compute(inputs, **settings).float()
    layers = [inputs.with_layer(layer) for layer in inputs.layers]
    return fuse_maps([method.compute(one, **settings).float() for one in layers], fuse)


def maps_from_pass(
    captured: Capture, method: Method, settings: dict[str, Any], target: Target, fuse: str = "mean"
) -> Tensor:
    """Maps (N, h, w) of a method that needs one captured pass and no more."""
    gradients = captured.gradients(target) if method.class_specific else captured.activations
    with torch.no_grad():
        pairs = zip(captured.activations, gradients, strict=True)
        return fuse_maps([method.compute(a, g, **settings) for a, g in pairs], fuse)


def fuse_maps(maps: Sequence[Tensor], how: str) -> Tensor:
    """One map (N, h, w) of the maps of several layers: each divided by its own largest magnitude, enlarged to
    the finest (bilinear), then mean or max. Raises UserError for another `how`."""
    if how not in FUSIONS:
        raise UserError(f"No fusion '{how}': choose from {', '.join(FUSIONS)}.")
    if len(maps) == 1:
        return maps[0]
    size = max((m.shape[1:] for m in maps), key=lambda shape: shape[0] * shape[1])
    scaled = [m / m.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(m.dtype).tiny) for m in maps]
    large = torch.stack(
        [F.interpolate(m[:, None], size, mode="bilinear", align_corners=False)[:, 0] for m in scaled]
    )
    return large.mean(0) if how == "mean" else large.amax(0)
