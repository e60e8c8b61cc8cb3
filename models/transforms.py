"""Read torchvision's transforms as `Preprocessing`. The result is compared with the transform itself on two
images, and refused where they differ."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from models.errors import UserError
from models.preprocessing import Preprocessing

HOW = "give a models.preprocessing.Preprocessing with what it does"
SIZES = ((300, 200), (180, 260))  # width, height of the pictures that are tried
MEAN_APART, MOST_APART = 0.02, 0.25
"""Accepted differences, mean and maximum, as fractions of the input's range: rounding, and resizing of
tensors instead of images."""


def read_transform(transform: Any) -> Preprocessing:
    """The `Preprocessing` that does the same as a torchvision transform (version 1 or 2, or a preset of its
    weights). Raises UserError for one that cannot be expressed so, or whose output differs."""
    made = _preset(transform) or _steps(_flat(transform))
    _must_agree(made, transform)
    return made


def _preset(transform: Any) -> Preprocessing | None:
    """`torchvision.transforms._presets.ImageClassification`, as of `weights.transforms()`."""
    if not all(
        hasattr(transform, name) for name in ("crop_size", "resize_size", "mean", "std", "interpolation")
    ):
        return None
    return Preprocessing(
        (int(transform.crop_size[0]),) * 2,
        int(transform.resize_size[0]),
        tuple(transform.mean),
        tuple(transform.std),
        transform.interpolation.value,
    )


def _flat(transform: Any) -> Iterable[Any]:
    steps = getattr(transform, "transforms", None)
    return [inner for step in steps for inner in _flat(step)] if steps is not None else [transform]


def _steps(steps: Iterable[Any]) -> Preprocessing:
    made, cropped = Preprocessing((0, 0), None, (0.0,) * 3, (1.0,) * 3), False
    for step in steps:
        name = type(step).__name__
        if name == "Resize":
            made, cropped = _resized(made, step), cropped or not isinstance(step.size, int)
        elif name == "CenterCrop":
            size = step.size if not isinstance(step.size, int) else (step.size,) * 2
            made, cropped = replace(made, size=(int(size[0]), int(size[1]))), True
        elif name == "Normalize":
            made = replace(made, mean=tuple(map(float, step.mean)), std=tuple(map(float, step.std)))
        elif name == "Grayscale" and step.num_output_channels == 1:
            made = replace(made, mean=made.mean[:1], std=made.std[:1])
        elif name not in (
            "ToTensor",
            "PILToTensor",
            "ToImage",
            "ToPureTensor",
            "ToDtype",
            "ConvertImageDtype",
            "Identity",
        ):
            raise UserError(f"The transform {name} cannot be expressed as Vitrine's preprocessing: {HOW}.")
    if not cropped:
        raise UserError(f"This transform fixes no size (a center crop, or Resize((height, width))): {HOW}.")
    return made


def _resized(made: Preprocessing, step: Any) -> Preprocessing:
    kind = getattr(step.interpolation, "value", step.interpolation)
    size = step.size
    if isinstance(size, int) or len(size) == 1:
        short = int(size if isinstance(size, int) else size[0])
        return replace(made, resize=short, interpolation=str(kind))
    return replace(made, size=(int(size[0]), int(size[1])), interpolation=str(kind))


def _must_agree(made: Preprocessing, transform: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        small = rng.integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        try:
            theirs = torch.as_tensor(transform(picture)).float()
        except Exception as error:  # a transform may raise anything
            raise UserError(
                f"This transform fails on a picture ({type(error).__name__}: {str(error)[:80]}): {HOW}."
            ) from error
        ours = made.normalize(made.tensor(picture)[None])[0]
        if theirs.shape != ours.shape:
            raise UserError(
                f"This transform gives {tuple(theirs.shape)}, read as '{made.described}' it gives "
                f"{tuple(ours.shape)}: {HOW}."
            )
        apart = (theirs - ours).abs() * torch.tensor(made.std)[:, None, None]
        if apart.mean() > MEAN_APART or apart.max() > MOST_APART:
            raise UserError(
                f"The output of this transform differs from that of '{made.described}' (by up to "
                f"{float(apart.max()):.2f}): {HOW}."
            )
