"""Explain the one image in front of a person: any method, layer and pair of classes, on passes that are shared."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explain.capture import LayerOutput, default_layer, layers_in, logits, map_layers
from explain.case import Case, Smoothing, answer
from explain.methods import get
from explain.target import Target
from models.classifier import Classifier
from models.errors import UserError


@dataclass(frozen=True, eq=False)
class LiveMap:
    """`raw` (h, w): the map of `method` at `layer` ('' where it needs none) for class `target`, less class `minus`; it took `seconds`."""

    raw: np.ndarray
    method: str
    layer: str
    target: int
    minus: int | None
    settings: dict[str, Any]
    seconds: float


@dataclass(eq=False)
class Look:
    """One picture before a network. `seen`: as the network sees it; `prob` (K,); `forward`: seconds of one pass."""

    classifier: Classifier
    seen: Image.Image
    x: Tensor
    prob: np.ndarray
    forward: float
    _passes: dict[tuple[str, ...], Case] = field(default_factory=dict)

    @property
    def pred(self) -> int:
        return int(self.prob.argmax())

    def map(self, method: str, layer: str | None = None, target: int | None = None, minus: int | None = None, given: dict[str, Any] | None = None,
            fuse: str = "mean", smoothing: Smoothing | None = None, tell: Callable[[float], None] = lambda share: None) -> LiveMap:  # fmt: skip
        """One map; of the predicted class where no `target` is given. `tell(share)` hears how far it is, and may raise `Stopped`.

        Raises UserError for what does not fit.
        """
        entry, plus = get(method), self.pred if target is None else target
        began = time.perf_counter()
        layers = self._layers(layer) if entry.layered else ()
        aim = Target(torch.tensor([plus]), None if minus is None else torch.tensor([minus]))
        asked = self._case(layers).about(aim, tell) if layers else Case(self.classifier.model, self.x, (), aim, tell=tell)
        found = answer(asked, method, given, fuse, smoothing)
        return LiveMap(found.maps[0].cpu().numpy(), method, found.layer, plus, minus, entry.settings(given), time.perf_counter() - began)

    def seconds(self, method: str, layer: str | None = None, given: dict[str, Any] | None = None) -> float:
        """About how long a map will take on this machine."""
        entry = get(method)
        c, h, w = (self._case(self._layers(layer)).captured.activation.shape[1:]) if entry.layered else (0, 0, 0)
        return self.forward * entry.passes(c, h * w, entry.settings(given))

    def _layers(self, layer: str | None) -> tuple[str, ...]:
        return layers_in(layer or "") or (self.classifier.default_layer or default_layer(self.classifier.model, self.x),)

    def _case(self, layers: tuple[str, ...]) -> Case:
        """The passes that were made, by their layers; a person looks at few."""
        if layers not in self._passes:
            self._passes[layers] = Case(self.classifier.model, self.x, layers, Target(torch.tensor([self.pred])))
        return self._passes[layers]


def look(classifier: Classifier, image: Image.Image) -> Look:
    """Show a picture to a network: one forward pass. Raises UserError for a network that answers with something else than classes."""
    if classifier.metadata.get("task") == "affect":
        raise UserError(f"{classifier.name} answers with valence and arousal, not with classes: only classifiers are explained.")
    x = classifier.batch([image])
    began = time.perf_counter()
    prob = logits(classifier.model, x).softmax(1)[0].cpu().numpy()
    return Look(classifier, classifier.preprocessing.view(image).convert("RGB"), x, prob, time.perf_counter() - began)


def layers_with_maps(classifier: Classifier) -> list[LayerOutput]:
    """The layers a map can be made of, in the order of the forward pass."""
    example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
    return map_layers(classifier.model, example)
