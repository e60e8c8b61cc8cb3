"""One picture before a network: its prediction, and maps by any method, computed once and kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache
from PIL import Image
from torch import Tensor, nn

from explain.methods.compute import MapResult, compute_maps, method_for
from explain.methods.inputs import OnProgress, Passes, fused_copies, ignore_progress
from explain.methods.registry import get
from explain.methods.request import MapRequest
from explain.network.hooks import layers_in, logits
from explain.network.stages import STAGES, stage_layers
from explain.network.target_layers import LayerOutput, default_layer, map_layers
from models.classifier import ONE_OUTPUT, Classifier
from models.errors import UserError
from models.faces.crop import FaceCrop, FaceRequest, crop_face
from models.outputs.probabilities import probabilities
from models.outputs.regression import is_regression
from models.outputs.task import REGRESSION, with_task

MAP_BYTES = 64 * 2**20
"""At most so much memory is kept in maps of one picture."""
PACE_FOR = 60.0
"""Seconds after which a network's pace is measured again."""


def _map_cache() -> "LRUCache[Any, MapResult]":
    return LRUCache(MAP_BYTES, getsizeof=lambda result: min(result.maps.nbytes, MAP_BYTES))


@dataclass(eq=False)
class OfNetwork:
    """What sessions of one network share: its fused copies, the seconds of an image's forward pass, with when
    they were measured, by the shape of the images, and its default layer, once it was looked for. Used by the
    thread that holds the network."""

    fused: "LRUCache[Any, nn.Module]"
    pace: dict[tuple[int, ...], tuple[float, float]] = field(default_factory=dict)
    default_layer: str = ""

    @classmethod
    def of(cls, model: nn.Module) -> "OfNetwork":
        return cls(fused_copies(model))


@dataclass(eq=False)
class ImageSession:
    """One picture before a network. `image`: resized and cropped, as the network takes it, RGB; `x`
    (1, C, H, W); `prob` (K,), which are the numbers themselves of a regression. `photo`: the whole picture,
    and `face` the part of it that was used, where faces were looked for. `shared`: with other sessions."""

    classifier: Classifier
    image: Image.Image
    x: Tensor
    prob: np.ndarray
    photo: Image.Image | None = None
    face: FaceCrop | None = None
    shared: OfNetwork | None = None
    _maps: "LRUCache[Any, MapResult]" = field(default_factory=_map_cache, repr=False)
    _lock: Any = field(default_factory=RLock, repr=False)

    @property
    def numbers(self) -> bool:
        """Whether the outputs are numbers, and no classes."""
        return is_regression(self.classifier.model)

    @property
    def pred(self) -> int:
        """The predicted class; of numbers, the first output."""
        return 0 if self.numbers else int(self.prob.argmax())

    def answer(self, output: int) -> str:
        """'89.3 %' of a class, '0.41' of a number."""
        return f"{self.prob[output]:.4g}" if self.numbers else f"{100 * self.prob[output]:.1f} %"

    @property
    def place(self) -> tuple[float, float, float, float] | None:
        """Left, top, right and bottom of what the network gets, in pixels of the photo; None where no part of
        it was chosen."""
        if self.face is None or self.face.region is None:
            return None
        left, top, right, bottom = self.face.region
        inside = self.classifier.preprocessing.region((right - left, bottom - top))
        return left + inside[0], top + inside[1], left + inside[2], top + inside[3]

    @cached_property
    def passes(self) -> Passes:
        """What maps of this picture share."""
        return Passes(self.classifier.model, self.x, fused=None if self.shared is None else self.shared.fused)

    @property
    def nbytes(self) -> int:
        """The memory of its pictures, maps and captured passes; not of what sessions share."""
        pictures = [p for p in (self.image, self.photo) if p is not None]
        own = sum(p.width * p.height * len(p.getbands()) for p in pictures) + self.x.nbytes + self.prob.nbytes
        passes: Passes | None = self.__dict__.get("passes")
        with self._lock:
            return int(own + self._maps.currsize) + (0 if passes is None else passes.nbytes)

    def keep(self, request: MapRequest, result: MapResult) -> None:
        """A result that was computed together with those of other pictures, as `map` keeps its own."""
        with self._lock:
            self._maps[self._key(request)] = result

    def map(self, request: MapRequest, on_progress: OnProgress = ignore_progress) -> MapResult:
        """As `compute_maps`, for the predicted class or the first number where the request names none; a
        result that is known is not computed again. Raises UserError for a request that does not fit."""
        key = self._key(request)
        with self._lock:
            result = self._maps.get(key)
        if result is None:
            result = compute_maps(
                self.classifier.model,
                self.x,
                self.complete(request),
                passes=self.passes,
                on_progress=on_progress,
            )
            with self._lock:
                self._maps[key] = result
        return result

    def known(self, request: MapRequest) -> bool:
        """Whether the result is kept."""
        with self._lock:
            return self._key(request) in self._maps

    def seconds(self, request: MapRequest) -> float:
        """About how long the map will take on this machine."""
        method, channels, positions = method_for(self.classifier.model, request.method), 0, 0
        if method.layered:
            layers = layers_in(self.complete(request).layer)
            channels, h, w = self.passes.captured(layers).activation.shape[1:]
            positions = h * w
        passes = method.passes(channels, positions, method.settings(dict(request.parameters)))
        return self.pace * request.smoothing.copies * passes

    @cached_property
    def pace(self) -> float:
        """Seconds of one image's forward pass in a small batch; what another session of the network has
        measured in the last minute."""
        shape, now = tuple(self.x.shape), time.monotonic()
        known = None if self.shared is None else self.shared.pace.get(shape)
        if known is not None and now - known[1] < PACE_FOR:
            return known[0]
        pace = self._measured_pace()
        if self.shared is not None:
            self.shared.pace[shape] = pace, now
        return pace

    def _measured_pace(self) -> float:
        """The shorter of two times, because the first one includes loading."""
        few, times = self.x.expand(4, -1, -1, -1), []
        for _ in range(2):
            began = time.perf_counter()
            float(logits(self.classifier.model, few).sum())  # waits for the device
            times.append((time.perf_counter() - began) / len(few))
        return min(times)

    @cached_property
    def _default_layer(self) -> str:
        return default_layer_of(self.classifier, self.x, self.shared)

    def _named(self, layer: str) -> str:
        """With the names of the layers."""
        return layer_text(self.classifier.model, self.x, layer, lambda: self._default_layer)

    def complete(self, request: MapRequest) -> MapRequest:
        """With the layer and the class that are used where the request names none."""
        layer, target = request.layer, self.pred if request.target is None else request.target
        if method_for(self.classifier.model, request.method).layered:
            layer = self._named(layer)
        return replace(request, layer=layer, target=target)

    @staticmethod
    def _key(request: MapRequest) -> Any:
        return request, get(request.method)  # a name may be registered again for another function


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a network gets it, before any pass; `x` (1, C, H, W), others as of `ImageSession`."""

    classifier: Classifier
    image: Image.Image
    x: Tensor
    photo: Image.Image | None = None
    face: FaceCrop | None = None


def prepare(
    classifier: Classifier, image: Image.Image, faces: FaceRequest | FaceCrop | None = None
) -> Prepared:
    """`faces` as of `open_session`. Raises UserError for a face that is not there."""
    face = crop_face(image, faces) if isinstance(faces, FaceRequest) else faces
    photo = None if face is None else image
    image = image if face is None else face.of(image)
    if classifier.task == REGRESSION:
        classifier = with_task(classifier, REGRESSION)
    return Prepared(classifier, image, classifier.batch([image]), photo, face)


def open_session(
    classifier: Classifier,
    image: Image.Image,
    faces: FaceRequest | FaceCrop | None = None,
    shared: OfNetwork | None = None,
) -> ImageSession:
    """Show a picture to a network: one forward pass. `faces`: which face of it, as a request or as it was
    found; None: the whole picture. `shared`: with other sessions of this network. Raises UserError for a
    network whose outputs are not finite scores of classes, and for a face that is not there."""
    prepared = prepare(classifier, image, faces)
    return answered(prepared, logits(prepared.classifier.model, prepared.x), shared)


def answered(prepared: Prepared, scores: Tensor, shared: OfNetwork | None = None) -> ImageSession:
    """The session of a picture whose scores (1, K) are known. Raises UserError where they are not finite
    scores of classes."""
    classifier = prepared.classifier
    if scores.shape[1] == 1 and not is_regression(classifier.model):
        raise UserError(ONE_OUTPUT.format(name=classifier.name))
    if not scores.isfinite().all():
        raise UserError(
            f"{classifier.name} answers this picture with "
            f"{'NaN' if scores.isnan().any() else 'infinite numbers'}: there is no "
            "prediction to explain. Check the weights and the preprocessing."
        )
    prob = probabilities(classifier.model, scores)[0].cpu().numpy()
    image = classifier.preprocessing.shown(prepared.image)
    return ImageSession(classifier, image, prepared.x, prob, prepared.photo, prepared.face, shared)


def default_layer_of(classifier: Classifier, x: Tensor, shared: OfNetwork | None = None) -> str:
    """The layer that is explained where none is named; it is looked for once for all that share it. Raises
    UserError for a network without layers that output maps."""
    known = classifier.default_layer or (shared.default_layer if shared is not None else "")
    found = known or default_layer(classifier.model, x)
    if shared is not None:
        shared.default_layer = found
    return found


def layer_text(model: nn.Module, x: Tensor, layer: str, last: Callable[[], str]) -> str:
    """The names of layers that a request means; `last` finds the default layer."""
    if layer.strip() == STAGES:
        return ",".join(stage_layers(model, x, last()))
    return layer if layers_in(layer) else last()


def layers_with_maps(classifier: Classifier) -> list[LayerOutput]:
    """The layers that maps can be computed for, in the order of the forward pass."""
    example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
    return map_layers(classifier.model, example)
