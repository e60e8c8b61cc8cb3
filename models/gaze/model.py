"""A network that predicts gaze, from its file: from images to maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models import checkpoints
from models.architectures.gaze_readout import Backbone, GazeReadout, Readout
from models.architectures.gaze_small import GazeSmall
from models.architectures.salnet import FULL, HALF, SalNet
from models.errors import UserError
from models.layers.extractor import feature_extractor
from models.preprocessing import Preprocessing, stack
from models.program import program

SYMMETRIC = Preprocessing(size=(240, 320), resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)
"""Pixels in [-1, 1]: what SalNet takes."""
IN_FRONT = 8  # pictures at once


@dataclass(frozen=True, eq=False)
class GazeModel:
    """`model` is in eval mode; `output`: whether it returns a `log density`, a `map`, or `logits` of one.
    `about`: the description in its file."""

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    output: str
    about: dict[str, Any]
    weights: str

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def maps(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Raw float32 (N, h, w) over the whole images: densities that sum to 1, or maps of any scale."""
        made = []
        for begin in range(0, len(pictures), IN_FRONT):
            pixels = stack(
                [self.preprocessing.tensor(picture) for picture in pictures[begin : begin + IN_FRONT]]
            )
            with torch.inference_mode():
                made.append(
                    as_maps(
                        self.model(self.preprocessing.normalize(pixels, self.device)).float(), self.output
                    )
                    .cpu()
                    .numpy()
                )
        return np.concatenate(made)


def as_maps(answer: Tensor, output: str) -> Tensor:
    """A network's output (N, h, w) as a map that is larger where people look more."""
    return answer.exp() if output == "log density" else answer.sigmoid() if output == "logits" else answer


def load_gaze(path: Path, device: str = "cpu") -> GazeModel:
    """The gaze model of a checkpoint. Raises UserError for any other file."""
    state, about = checkpoints.read(path)
    if about.get("task") != "gaze":
        what = (
            f"a {about['architecture']}, which classifies"
            if about.get("architecture")
            else "no model of gaze that Vitrine trained"
        )
        raise UserError(f"'{path}' holds {what}: give a checkpoint of '{program()} gaze train'.")
    model = build(about, {k: v for k, v in state.items() if k == "readout.prior"})
    checkpoints.fit(model, state, about["architecture"])
    named = f"{about['architecture']}:{about['data']['name'].split('/')[0]}"
    return GazeModel(
        named,
        model.eval().to(device).to(memory_format=torch.channels_last),
        Preprocessing.from_dict(about["preprocessing"]),
        about["output"],
        about,
        str(path),
    )


def build(about: dict[str, Any], given: dict[str, Tensor]) -> nn.Module:
    """An untrained network of the architecture that a checkpoint describes. `given`: tensors whose shapes are
    known only from its file."""
    if about["architecture"] == "gaze_small":
        return GazeSmall()
    if about["architecture"] != "gaze_readout":
        return salnet(about["architecture"])
    from models.registry import spec

    backbone = feature_extractor(spec(about["backbone"]["name"]).build(None), about["backbone"]["layers"])
    widths = about["backbone"]["widths"]
    return GazeReadout(
        Backbone(backbone, about["backbone"]["layers"], widths),
        Readout(widths, given["readout.prior"].float()),
    )


def salnet(name: str) -> SalNet:
    return SalNet(FULL if name == "salnet" else HALF)
