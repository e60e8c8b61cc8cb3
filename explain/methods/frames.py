"""Frames of a camera before a network: probabilities and a map from one pass each."""

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
from models.outputs.probabilities import probabilities


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
    the frames. `method`, `layer`: as of `MapRequest`; a method that needs one pass alone. Raises UserError
    for a network without layers that output maps."""

    def __init__(self, classifier: Classifier, method: str, layer: str = ""):
        self.classifier, self._method = classifier, method
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
        request = MapRequest(self._method, ",".join(self._layers), target)
        result = compute_maps(self._network, x, request, passes=passes)
        return FrameMap(prob, shown, target, result.raw, result.layer)
