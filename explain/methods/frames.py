"""Frames of a camera before a network: probabilities and a map from one pass each, and their mean over
time."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.stages import named_layers
from models.classifier import Classifier
from models.errors import UserError
from models.probabilities import probabilities

METHOD = "layer_cam"
TIME_CONSTANT = 0.5
"""Seconds after which a step of the probabilities is shown to 63 %."""


class ExponentialMean:
    """The exponentially weighted mean of values (K,) at any times: m += (1 - exp(-Δt / τ)) (value - m), so
    that it does not depend on how often values come. It begins with the first one."""

    def __init__(self, time_constant: float = TIME_CONSTANT):
        self._time_constant, self._at = time_constant, 0.0
        self._mean: np.ndarray | None = None

    def add(self, value: np.ndarray, at: float) -> np.ndarray:
        """The mean (K,) after a value of the time `at`, in seconds, which does not go back."""
        if self._mean is None:
            self._mean = value.astype(float)
        else:
            weight = -math.expm1(-(at - self._at) / self._time_constant)
            self._mean = self._mean + weight * (value - self._mean)
        self._at = at
        return self._mean

    def clear(self) -> None:
        """Begin again with the next value."""
        self._mean = None


@dataclass(frozen=True, eq=False)
class FrameMap:
    """`prob` (K,) of this frame; `shown` (K,): what `choose` made of it; `raw` (h, w): the map of the class
    `target` at `layer`."""

    prob: np.ndarray
    shown: np.ndarray
    target: int
    raw: np.ndarray
    layer: str


class FrameExplainer:
    """A network that is shown one frame after another. It keeps a fused copy of the network, and nothing of
    the frames. `layer`: as of `MapRequest`. Raises UserError where LayerCAM cannot be computed there."""

    def __init__(self, classifier: Classifier, layer: str = ""):
        self.classifier = classifier
        example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
        self._layers = named_layers(classifier.model, example, layer)
        self._network = fused_copy(classifier.model, example, self._layers)

    def explain(self, frame: Image.Image, choose: Callable[[np.ndarray], np.ndarray]) -> FrameMap:
        """One pass gives probabilities and map. `choose`: from probabilities (K,) to those by which the
        explained class is the largest one. Raises UserError where the network answers no finite numbers."""
        x = self.classifier.batch([frame])
        passes = Passes(self._network, x)
        scores = passes.captured(self._layers).logits
        if not scores.isfinite().all():
            raise UserError(f"{self.classifier.name} answers this frame with numbers that are not finite.")
        prob = probabilities(self.classifier.model, scores)[0].cpu().numpy()
        shown = choose(prob)
        target = int(shown.argmax())
        request = MapRequest(METHOD, ",".join(self._layers), target)
        result = compute_maps(self._network, x, request, passes=passes)
        return FrameMap(prob, shown, target, result.raw, result.layer)
