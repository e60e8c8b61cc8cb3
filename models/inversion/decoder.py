"""A trained decoder, from its file: which network and layer it belongs to, and pictures from what that layer puts out."""

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
from models.inversion.shipped import decoders_of
from models.layout import layout_of


@dataclass(frozen=True, eq=False)
class Decoder:
    """`layer` puts out `shape` for one picture: (C, h, w), or (D,). `scale`: mean distance between two test images, by which errors are measured."""

    layer: str
    shape: tuple[int, ...]
    model: UpConv
    about: dict[str, Any]
    path: Path

    @property
    def scale(self) -> float:
        return float(self.about["scale"])

    def pictures(self, features: Tensor) -> Tensor:
        """(N, *shape) -> (N, C, H, W), normalised as the network takes them. Raises UserError for another shape."""
        if tuple(features.shape[1:]) != self.shape:
            raise UserError(f"'{self.path.name}' decodes {_by(self.shape)} of layer {self.layer}; got {_by(features.shape[1:])}.")
        with torch.inference_mode():
            return self.model(features)


def load_decoder(path: Path, classifier: Classifier) -> Decoder:
    """Raises UserError for a file that is no decoder, or one of another network."""
    state, about = checkpoints.read(path)
    if about.get("task") != "inversion":
        raise UserError(f"'{path}' is no decoder: give a file of 'python launch.py invert train'.")
    theirs = about["network"]
    if theirs["weights"] != classifier.weights_hash:
        raise UserError(f"'{path}' decodes layer {about['layer']} of {theirs['name']} with weights {theirs['weights']}; this is {classifier.name} "
                        f"with {classifier.weights_hash}: train a decoder for it with python launch.py invert train.")  # fmt: skip
    shape = tuple(about["shape"])
    recipe = InversionRecipe(**about["training"])
    model = UpConv(shape, tuple(about["size"]), about["channels"], recipe.width, recipe.depth, recipe.ups)
    checkpoints.fit(model, state, "upconv")
    return Decoder(about["layer"], shape, model.eval().to(classifier.device), about, path)


def load_decoders(classifier: Classifier, folder: Path | None = None) -> list[Decoder]:
    """Those of a network, shallow layers first: of a folder, which must hold some, and otherwise those that come along. Raises UserError."""
    paths = sorted(folder.glob("*.safetensors")) if folder else decoders_of(classifier.weights_hash)
    if folder and not paths:
        raise UserError(f"'{folder}' holds no decoders: make some with python launch.py invert train --out {folder}.")
    made = [load_decoder(path, classifier) for path in paths]
    return sorted(made, key=lambda decoder: int(decoder.about["depth"]))


def features_of(output: object, size: tuple[int, int], prefix: int | None = None) -> Tensor:
    """What a layer put out as maps (N, C, h, w), or as vectors (N, D) where it has no places. Raises UserError for anything else."""
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise UserError(f"A {type(output).__name__} cannot be decoded: choose a layer that puts out maps or a vector.")
    layout = layout_of(output, len(output), size, prefix)
    if layout and min(layout.size) > 1:
        return layout.maps(output)
    return output.flatten(1)


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
