"""Explain the one image in front of the user."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from explain import methods
from explain.capture import LayerOutput, capture, default_layer, map_layers
from models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class LiveMap:
    """`seen`: the picture as the network saw it; `prob` (K,); `raw` (h, w): the map of `method` at `layer` for `target`."""

    seen: Image.Image
    prob: np.ndarray
    raw: np.ndarray
    method: str
    layer: str
    target: int


def explain_image(classifier: Classifier, image: Image.Image, method: str, layer: str | None = None, target: int | None = None) -> LiveMap:
    """One forward pass and one map; `target` is the prediction unless given. Raises UserError for a layer without maps."""
    x = classifier.batch([image])
    layer = layer or classifier.default_layer or default_layer(classifier.model, x)
    captured = capture(classifier.model, x, layer)
    prob = captured.logits.softmax(1)[0]
    chosen = int(prob.argmax()) if target is None else target
    explanation = methods.explain(captured, [method], torch.tensor([chosen]))[method]
    return LiveMap(classifier.preprocessing.view(image).convert("RGB"), prob.cpu().numpy(), explanation.maps[0].cpu().numpy(),
                   method, layer, chosen)  # fmt: skip


def layers_with_maps(classifier: Classifier) -> list[LayerOutput]:
    """The layers a map can be made of, in the order of the forward pass."""
    example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
    return map_layers(classifier.model, example)
