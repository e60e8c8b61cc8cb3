"""A trained decoder, from its file: its network and layer, and images from that layer's output."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import checkpoints
from models.architectures.upconv import UpConv
from models.classifier import Classifier
from models.errors import UserError
from models.inversion.recipe import InversionRecipe
from models.inversion.same_input import differences
from models.inversion.shipped import FOLDER, decoders_of, is_decoder
from models.layers.layout import layout_of
from models.program import program, typed


def _no_decoder(path: Path) -> UserError:
    return UserError(f"'{path}' is no decoder: give a file of '{program()} invert train'.")


@dataclass(frozen=True, eq=False)
class Decoder:
    """`shape`: of the layer's output for one image, (C, h, w) or (D,). `scale`: mean distance between two
    test images, the unit of errors."""

    layer: str
    shape: tuple[int, ...]
    model: UpConv
    about: dict[str, Any]
    path: Path

    @property
    def scale(self) -> float:
        return float(self.about["scale"])

    def pictures(self, features: Tensor) -> Tensor:
        """(N, *shape) -> (N, C, H, W), normalized as the network takes them. Raises UserError for another
        shape."""
        if tuple(features.shape[1:]) != self.shape:
            raise UserError(
                f"'{self.path.name}' decodes {_by(self.shape)} of layer {self.layer}; got "
                f"{_by(features.shape[1:])}."
            )
        with torch.inference_mode():
            return self.model(features)


def load_decoder(path: Path, classifier: Classifier) -> Decoder:
    """The decoder of a file, for its network. Raises UserError for a file that is no decoder, one of another
    network, and one that learned from images that were prepared otherwise."""
    state, about = checkpoints.read(path)
    if not is_decoder(about):
        raise _no_decoder(path)
    try:
        return _made(path, classifier, state, about)
    except UserError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:  # a description that another program wrote
        raise _no_decoder(path) from error


def _made(path: Path, classifier: Classifier, state: dict[str, Tensor], about: dict[str, Any]) -> Decoder:
    theirs = about["network"]
    if theirs["weights"] != classifier.weights_hash:
        raise UserError(
            f"'{path}' decodes layer {about['layer']} of {theirs['name']} with weights "
            f"{theirs['weights']}; this is {classifier.name} "
            f"with {classifier.weights_hash}: train a decoder for it with {program()} invert train."
        )
    if path.parent == FOLDER:  # those of the networks that are shipped, made with their own preprocessing
        about = {"preprocessing": classifier.metadata.get("preprocessing")} | about
    if changed := differences(about, classifier.preprocessing):
        raise UserError(
            f"'{path}' learned from images that were prepared otherwise than those of {classifier.name}: "
            f"{'; '.join(changed)}. Give the options of that training, or train a decoder with "
            f"{program()} invert train."
        )
    shape = tuple(about["shape"])
    recipe = InversionRecipe(**about["training"])
    model = UpConv(shape, tuple(about["size"]), about["channels"], recipe.width, recipe.depth, recipe.ups)
    checkpoints.fit(model, state, "upconv")
    return Decoder(about["layer"], shape, model.eval().to(classifier.device), about, path)


def load_decoders(classifier: Classifier, folder: Path | None = None) -> list[Decoder]:
    """The decoders of a network, shallow layers first: those in a folder, otherwise the shipped ones. Files
    that are no decoders of this network are left out with a warning. Raises UserError for a folder without
    decoders of it."""
    paths = sorted(folder.glob("*.safetensors")) if folder else decoders_of(classifier.weights_hash)
    if folder and not paths:
        command = typed(["invert", "train", "--out", str(folder)])
        raise UserError(f"'{folder}' holds no decoders: make some with {command}.")
    made, refused = list[Decoder](), list[UserError]()
    for path in paths:
        try:
            made.append(load_decoder(path, classifier))
        except UserError as error:
            logging.getLogger("vitrine").warning("%s is left out: %s", path, error)
            refused.append(error)
    if refused and not made:
        raise refused[0]
    return sorted(made, key=lambda decoder: int(decoder.about["depth"]))


def features_of(output: object, size: tuple[int, int], prefix: int | None = None) -> Tensor:
    """A layer's output as maps (N, C, h, w), or as vectors (N, D) where it has no spatial positions. Raises
    UserError for anything else."""
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise UserError(
            f"A {type(output).__name__} cannot be decoded: choose a layer whose output is maps or a vector."
        )
    layout = layout_of(output, len(output), size, prefix)
    if layout and min(layout.size) > 1:
        return layout.maps(output)
    return output.flatten(1)


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
