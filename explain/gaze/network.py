"""Maps of a classifier for its predicted class, compared with where people look; and the same maps on other
pictures as a control."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from explain.gaze.sources import Answer, Source
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.registry import get
from explain.methods.request import MapRequest
from explain.network.stages import STAGES, stage_layers
from explain.network.target_layers import default_layer
from explain.run.answer import noise
from models.classifier import Classifier
from models.gaze.gaze_set import Viewed
from models.outputs.one_by_one import takes_one_image
from models.outputs.regression import is_regression
from models.outputs.task import require_classes

AT_ONCE = 16


def whole_picture(classifier: Classifier) -> Classifier:
    """The same network on whole pictures: resized to its input, and neither cropped nor padded, so that every
    fixation lies in the input."""
    whole = replace(classifier.preprocessing, resize=None, crop="center", fill=(0,))
    return replace(classifier, preprocessing=whole)


class NetworkMaps:
    """Maps of the predicted class, of several labels per image the most probable one, or of numbers the
    output `target`, by several methods, of one pass; each picture is computed once. Raises UserError for a
    network that answers with numbers and was not opened for them."""

    def __init__(
        self, classifier: Classifier, methods: Sequence[str], layer: str | None = None, target: int = 0
    ):
        self.classifier, self.methods, self.layer = whole_picture(classifier), list(methods), layer
        self.target = target if is_regression(classifier.model) else None
        if self.target is None:
            require_classes(classifier, "the comparison with people")
        self._kept: dict[str, dict[str, np.ndarray]] = {}
        for method in methods:
            get(method)

    @property
    def about(self) -> dict[str, str]:
        """What the maps are of: the `network` and the hash of its weights, the `layer` by its names, and of
        numbers the `output`."""
        c = self.classifier
        x = noise(c)
        layer = self.layer or c.default_layer or default_layer(c.model, x)
        if layer.strip() == STAGES:
            layer = ",".join(stage_layers(c.model, x, c.default_layer or ""))
        output = {} if self.target is None else {"output": c.classes[self.target]}
        return {"network": c.name, "weights_hash": c.weights_hash, "layer": layer} | output

    def of(self, images: list[Viewed]) -> dict[str, dict[str, np.ndarray]]:
        """Image -> method -> raw map (h, w); the last images are kept."""
        if not all(image.id in self._kept for image in images):
            self._kept = {}
            size = 1 if takes_one_image(self.classifier.model) else AT_ONCE
            for begin in range(0, len(images), size):
                self._kept |= self._batch(images[begin : begin + size])
        return self._kept

    def _batch(self, images: list[Viewed]) -> dict[str, dict[str, np.ndarray]]:
        c = self.classifier
        x = c.batch([image.load(c.preprocessing.alpha) for image in images])
        layer = self.layer or c.default_layer or default_layer(c.model, x[:1])
        passes = Passes(c.model, x)
        made = {
            method: compute_maps(
                c.model, x, MapRequest(method, layer, self.target), passes=passes
            ).maps.numpy()
            for method in self.methods
        }
        return {
            image.id: {method: maps[k] for method, maps in made.items()} for k, image in enumerate(images)
        }

    def sources(self) -> list[Source]:
        """One source per method, and one control: the first method's maps, each on another picture of the
        batch."""
        sources = [
            Source(name, self._title(name), "network", partial(self._answers, name), keep=True)
            for name in self.methods
        ]
        first = self.methods[0]
        return [
            *sources,
            Source(
                "shuffled",
                f"{self._title(first)} of other pictures",
                "control",
                partial(self._elsewhere, first),
            ),
        ]

    def _title(self, method: str) -> str:
        """Of numbers with the output."""
        title = get(method).title
        return title if self.target is None else f"{title} for {self.classifier.classes[self.target]}"

    def _answers(self, method: str, images: list[Viewed]) -> Iterator[Answer]:
        maps = self.of(images)
        yield from ((positive(maps[image.id][method]), None) for image in images)

    def _elsewhere(self, method: str, images: list[Viewed]) -> Iterator[Answer | None]:
        maps = self.of(images)
        for k in range(len(images)):
            other = images[(k + 1) % len(images)]
            yield None if other is images[k] else (positive(maps[other.id][method]), None)


def positive(raw: np.ndarray) -> np.ndarray:
    """Evidence for the class, or for a larger number; negative values, which are evidence against it, are
    set to zero."""
    return np.maximum(raw, 0)
