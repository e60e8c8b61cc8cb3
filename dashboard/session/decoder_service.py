"""Decoders of the run's network, loaded once, and the reconstructions that they make of one image."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dashboard.session.types import HoldClassifier, Subject
from models.errors import UserError
from models.inversion.shipped import decoders_of, is_decoder
from models.program import typed
from models.training.trained import described

if TYPE_CHECKING:
    from torch import Tensor

    from explain.inversion.rebuild import Rebuilt
    from models.classifier import Classifier
    from models.inversion.decoder import Decoder


class DecoderService:
    """`weights_hash`: of the network; `classifier`: holds it; `picture`: opens the image of a subject;
    `folder`: of `invert train` (default: the decoders that are shipped)."""

    def __init__(
        self,
        weights_hash: str,
        classifier: HoldClassifier,
        picture: Callable[[Subject], Image.Image],
        folder: Path | None = None,
    ):
        self._weights_hash, self._classifier, self._picture = weights_hash, classifier, picture
        self._folder = folder
        self._decoders: list[Decoder] | None = None

    @cached_property
    def about(self) -> list[dict[str, Any]]:
        """The metadata of each decoder, shallow layers first; empty where there are none. No torch."""
        paths = (
            sorted(self._folder.glob("*.safetensors")) if self._folder else decoders_of(self._weights_hash)
        )
        if self._folder and not paths:
            command = typed(["invert", "train", "--out", str(self._folder)])
            raise UserError(f"'{self._folder}' holds no decoders: make some with {command}.")
        decoders = [about for path in paths if is_decoder(about := described(path))]
        return sorted(decoders, key=lambda about: about["depth"])

    @property
    def layers(self) -> list[str]:
        return [str(about["layer"]) for about in self.about]

    def decoders(self, classifier: "Classifier") -> "list[Decoder]":
        """Call it while holding the network. Raises UserError for decoders of another network."""
        from models.inversion.decoder import load_decoders

        if self._decoders is None:
            self._decoders = load_decoders(classifier, self._folder)
        return self._decoders

    def input(self, classifier: "Classifier", subject: Subject) -> "Tensor":
        return classifier.batch([self._picture(subject)])

    def every_layer(self, subject: Subject) -> "list[Rebuilt]":
        """The image rebuilt from every layer, the deepest first."""
        from explain.inversion.rebuild import rebuild

        with self._classifier() as classifier:
            x = self.input(classifier, subject)
            return [rebuild(classifier, x, decoder) for decoder in reversed(self.decoders(classifier))]

    def edited(self, subject: Subject, layer: str, units: str, edit: str) -> "dict[str, Rebuilt]":
        """The image rebuilt from one layer: as it is, with units dropped or kept (`edit`: drop, keep), and
        from random features. `units`: as "0-3,7", or names of classes. Raises UserError for a layer without
        a decoder and units that do not exist."""
        from explain.features.units import units_in
        from explain.inversion.rebuild import edited, layer_output, random_features, rebuild

        with self._classifier() as classifier:
            decoder = next((d for d in self.decoders(classifier) if d.layer == layer), None)
            if decoder is None:
                raise UserError(
                    f"No decoder for layer '{layer}': there are {', '.join(self.layers) or 'none'}."
                )
            x = self.input(classifier, subject)
            features = layer_output(classifier, x, layer)
            of_classes = features.ndim == 2 and features.shape[1] == len(classifier.classes)
            chosen = units_in(units, classifier.classes if of_classes else ())
            return {
                "as it is": rebuild(classifier, x, decoder),
                f"{edit} {units}": rebuild(classifier, x, decoder, edited(features, chosen, edit)),
                "random features": rebuild(classifier, x, decoder, random_features(decoder)),
            }
