"""One picture before a network: its prediction, and maps by any method, computed once and kept."""

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache
from PIL import Image
from torch import Tensor

from explain.methods.compute import MapResult, compute_maps, method_for
from explain.methods.inputs import OnProgress, Passes, ignore_progress
from explain.methods.registry import get
from explain.methods.request import MapRequest
from explain.network.hooks import layers_in, logits
from explain.network.stages import STAGES, stage_layers
from explain.network.target_layers import LayerOutput, default_layer, map_layers
from models.classifier import ONE_OUTPUT, Classifier
from models.errors import UserError
from models.faces.crop import FaceCrop, FaceRequest, crop_face
from models.probabilities import probabilities
from models.regression import is_regression
from models.task import REGRESSION, with_task

MAP_BYTES = 64 * 2**20
"""At most so much memory is kept in maps of one picture."""


def _map_cache() -> "LRUCache[Any, MapResult]":
    return LRUCache(MAP_BYTES, getsizeof=lambda result: min(result.maps.nbytes, MAP_BYTES))


@dataclass(eq=False)
class ImageSession:
    """One picture before a network. `image`: resized and cropped, as the network takes it, RGB; `x`
    (1, C, H, W); `prob` (K,), which are the numbers themselves of a regression. `photo`: the whole picture,
    and `face` the part of it that was used, where faces were looked for."""

    classifier: Classifier
    image: Image.Image
    x: Tensor
    prob: np.ndarray
    photo: Image.Image | None = None
    face: FaceCrop | None = None
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
        return Passes(self.classifier.model, self.x)

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
                self._complete(request),
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
            layers = layers_in(self._complete(request).layer)
            channels, h, w = self.passes.captured(layers).activation.shape[1:]
            positions = h * w
        passes = method.passes(channels, positions, method.settings(dict(request.parameters)))
        return self.pace * request.smoothing.copies * passes

    @cached_property
    def pace(self) -> float:
        """Seconds of one image's forward pass in a small batch: the shorter of two times, because the first
        one includes loading."""
        few, times = self.x.expand(4, -1, -1, -1), []
        for _ in range(2):
            began = time.perf_counter()
            float(logits(self.classifier.model, few).sum())  # waits for the device
            times.append((time.perf_counter() - began) / len(few))
        return min(times)

    @cached_property
    def _default_layer(self) -> str:
        return self.classifier.default_layer or default_layer(self.classifier.model, self.x)

    def _named(self, layer: str) -> str:
        """With the names of the layers."""
        if layer.strip() == STAGES:
            return ",".join(stage_layers(self.classifier.model, self.x, self._default_layer))
        return layer if layers_in(layer) else self._default_layer

    def _complete(self, request: MapRequest) -> MapRequest:
        """With the layer and the class that are used where the request names none."""
        layer, target = request.layer, self.pred if request.target is None else request.target
        if method_for(self.classifier.model, request.method).layered:
            layer = self._named(layer)
        return replace(request, layer=layer, target=target)

    @staticmethod
    def _key(request: MapRequest) -> Any:
        return request, get(request.method)  # a name may be registered again for another function


def open_session(
    classifier: Classifier, image: Image.Image, faces: FaceRequest | FaceCrop | None = None
) -> ImageSession:
    """Show a picture to a network: one forward pass. `faces`: which face of it, as a request or as it was
    found; None: the whole picture. Raises UserError for a network whose outputs are not finite scores of
    classes, and for a face that is not there."""
    face = crop_face(image, faces) if isinstance(faces, FaceRequest) else faces
    photo = None if face is None else image
    image = image if face is None else face.of(image)
    if classifier.task == REGRESSION:
        classifier = with_task(classifier, REGRESSION)
    x = classifier.batch([image])
    scores = logits(classifier.model, x)
    if scores.shape[1] == 1 and not is_regression(classifier.model):
        raise UserError(ONE_OUTPUT.format(name=classifier.name))
    if not scores.isfinite().all():
        raise UserError(
            f"{classifier.name} answers this picture with "
            f"{'NaN' if scores.isnan().any() else 'infinite numbers'}: there is no "
            "prediction to explain. Check the weights and the preprocessing."
        )
    prob = probabilities(classifier.model, scores)[0].cpu().numpy()
    return ImageSession(classifier, classifier.preprocessing.shown(image), x, prob, photo, face)


def layers_with_maps(classifier: Classifier) -> list[LayerOutput]:
    """The layers that maps can be computed for, in the order of the forward pass."""
    example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
    return map_layers(classifier.model, example)
