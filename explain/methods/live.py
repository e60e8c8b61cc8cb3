"""Explain the one image in front of a person: any method, layer and pair of classes, on passes that are
shared."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explain.methods.compute import Case, Smoothing, answer
from explain.methods.registry import get
from explain.methods.target import Target
from explain.network.hooks import layers_in, logits
from explain.network.target_layers import LayerOutput, default_layer, map_layers
from models.classifier import ONE_OUTPUT, Classifier
from models.errors import UserError

PASSES, MAPS = 3, 200
"""How many captured passes and maps of one picture are kept."""


@dataclass(frozen=True)
class MapRequest:
    """Which map: of the predicted class where `target` is None, less that of class `contrast_class`; at the
    default layer where `layer` is ''.

    `given`: parameters that differ from the method's own, as (name, value) in pairs.
    """

    method: str
    layer: str = ""
    target: int | None = None
    contrast_class: int | None = None
    given: tuple[tuple[str, Any], ...] = ()
    fuse: str = "mean"
    smoothing: Smoothing = field(default_factory=Smoothing)


@dataclass(frozen=True, eq=False)
class MapResult:
    """`raw` (h, w) answers `request` for class `target` at `layer` ('' where the method needs none); it took
    `seconds`. `expected_sum`: what it should sum to, where the method promises that."""

    raw: np.ndarray
    request: MapRequest
    layer: str
    target: int
    seconds: float
    expected_sum: float | None = None


@dataclass(eq=False)
class ImageSession:
    """One picture before a network. `seen`: as the network sees it; `prob` (K,)."""

    classifier: Classifier
    seen: Image.Image
    x: Tensor
    prob: np.ndarray
    _passes: dict[tuple[str, ...], Case] = field(default_factory=dict)
    _maps: dict[MapRequest, MapResult] = field(default_factory=dict)

    @property
    def pred(self) -> int:
        return int(self.prob.argmax())

    def map(
        self, request: MapRequest, on_progress: Callable[[float], None] = lambda fraction: None
    ) -> MapResult:
        """The answer, computed once. `on_progress(fraction)` hears how far it is, and may raise `Cancelled`.
        Raises UserError for what does not fit."""
        if request not in self._maps:
            found = self._compute(request, on_progress)
            if len(self._maps) >= MAPS:
                del self._maps[next(iter(self._maps))]
            self._maps[request] = found
        return self._maps[request]

    @cached_property
    def pace(self) -> float:
        """Seconds of a forward pass in a small batch: the shorter of two times, for the first one pays for
        what is loaded."""
        few, times = self.x.expand(4, -1, -1, -1), []
        for _ in range(2):
            began = time.perf_counter()
            float(logits(self.classifier.model, few).sum())  # waits for the device
            times.append((time.perf_counter() - began) / len(few))
        return min(times)

    def known(self, request: MapRequest) -> bool:
        return request in self._maps

    def seconds(self, request: MapRequest) -> float:
        """About how long the map will take on this machine."""
        method = get(request.method)
        c, h, w = (
            self._case(self._layers(request.layer)).captured.activation.shape[1:]
            if method.layered
            else (0, 0, 0)
        )
        copies = max(1, request.smoothing.samples) * (1 + request.smoothing.flip)
        return self.pace * copies * method.passes(c, h * w, method.settings(dict(request.given)))

    def _compute(self, request: MapRequest, on_progress: Callable[[float], None]) -> MapResult:
        method, plus = get(request.method), self.pred if request.target is None else request.target
        began = time.perf_counter()
        target = Target(
            torch.tensor([plus]),
            None if request.contrast_class is None else torch.tensor([request.contrast_class]),
        )
        if method.layered:
            case = self._case(self._layers(request.layer)).about(target, on_progress)
        else:
            case = Case(self.classifier.model, self.x, (), target, on_progress=on_progress)
        found = answer(case, request.method, dict(request.given), request.fuse, request.smoothing)
        expected_sum = None if found.expected_sum is None else float(found.expected_sum[0])
        return MapResult(
            found.maps[0].cpu().numpy(), request, found.layer, plus, time.perf_counter() - began, expected_sum
        )

    def _layers(self, layer: str) -> tuple[str, ...]:
        return layers_in(layer) or (
            self.classifier.default_layer or default_layer(self.classifier.model, self.x),
        )

    def _case(self, layers: tuple[str, ...]) -> Case:
        if layers not in self._passes:
            if len(self._passes) >= PASSES:  # a pass at an early layer holds much of the network
                del self._passes[next(iter(self._passes))]
            self._passes[layers] = Case(
                self.classifier.model, self.x, layers, Target(torch.tensor([self.pred]))
            )
        return self._passes[layers]


def open_session(classifier: Classifier, image: Image.Image) -> ImageSession:
    """Show a picture to a network: one forward pass. Raises UserError for a network that answers with
    something else than classes."""
    if classifier.metadata.get("task") == "affect":
        raise UserError(
            f"{classifier.name} answers with valence and arousal, not with classes: only classifiers are "
            "explained."
        )
    x = classifier.batch([image])
    answer = logits(classifier.model, x)
    if answer.shape[1] == 1:
        raise UserError(ONE_OUTPUT.format(name=classifier.name))
    if not answer.isfinite().all():
        raise UserError(
            f"{classifier.name} answers this picture with "
            f"{'NaN' if answer.isnan().any() else 'infinite numbers'}: there is no "
            "prediction to explain. Check the weights and the preprocessing."
        )
    prob = answer.softmax(1)[0].cpu().numpy()
    return ImageSession(classifier, classifier.preprocessing.view(image).convert("RGB"), x, prob)


def layers_with_maps(classifier: Classifier) -> list[LayerOutput]:
    """The layers a map can be made of, in the order of the forward pass."""
    example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
    return map_layers(classifier.model, example)
