"""Read torchvision's transforms as `Preprocessing`. The result is compared with the transform itself on two
images, and refused where they differ."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from models.colors import MODES
from models.errors import UserError
from models.preprocessing import PIXEL_SCALE, Preprocessing, require_readable

UNDERSTOOD = ("Resize", "CenterCrop", "Normalize", "Grayscale(1)")
"""Steps that are read, beside those of `PASSED`."""
SIZES = ((300, 200), (180, 260))  # width, height of the pictures that are tried
MEAN_APART, MOST_APART = 0.02, 0.25
"""Accepted differences, mean and maximum, as fractions of the input's range: rounding, and resizing of
tensors instead of images."""


class UnreadableTransform(UserError):
    """`reason`: why a transform cannot be read, without what to do."""

    def __init__(self, reason: str):
        super().__init__(f"{reason}")
        self.reason = reason


def read_transform(transform: Any) -> Preprocessing:
    """The `Preprocessing` that does the same as a torchvision transform (version 1 or 2, or a preset of its
    weights). Raises UserError for one that cannot be expressed so, or whose output differs."""
    made = _preset(transform) or _steps(_flat(transform))
    require_readable(made)
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


PASSED = (
    "ToTensor",
    "PILToTensor",
    "ToImage",
    "ToPureTensor",
    "ToDtype",
    "ConvertImageDtype",
    "ConvertDtype",
    "ConvertImage",
    "ToImageTensor",
    "MaybeToTensor",
    "RGB",
    "Identity",
)
"""Steps that change how pixels are stored and, of RGB images, at most their scale."""
DIVIDING = ("ToTensor", "ConvertImageDtype", "ConvertDtype", "MaybeToTensor")


def _steps(steps: Iterable[Any]) -> Preprocessing:
    made, sized = Preprocessing((0, 0), None, (0.0,) * 3, (1.0,) * 3, scale=1.0), False
    listed = list(steps)
    for number, step in enumerate(listed, 1):
        name = type(step).__name__
        if name == "Resize":
            made, sized = _resized(made, step), sized or not _is_one(step.size)
        elif name == "CenterCrop":
            made, sized = _cropped(made, step), True
        elif name == "Normalize":
            made = replace(made, mean=tuple(map(float, step.mean)), std=tuple(map(float, step.std)))
        elif name == "Grayscale" and step.num_output_channels == 1:
            last = made.size != (0, 0) or made.resize is not None
            made = replace(made, mean=made.mean[:1], std=made.std[:1], grey_last=last)
        elif name not in PASSED:
            raise UnreadableTransform(
                f"The transform {_named(step)} cannot be expressed as Vitrine's preprocessing"
                f"{_place(number, len(listed))}"
            )
        if name in DIVIDING or (name == "ToDtype" and step.scale):
            made = replace(made, scale=PIXEL_SCALE)
    if not sized:
        raise UnreadableTransform("This transform fixes no size (a center crop, or Resize((height, width)))")
    return made


def _place(number: int, count: int) -> str:
    return f" (step {number} of {count})" if count > 1 else ""


def _named(step: Any) -> str:
    """'RandomHorizontalFlip', or the name of a function."""
    return str(getattr(step, "__qualname__", None) or type(step).__name__)


def _is_one(size: Any) -> bool:
    return isinstance(size, int) or len(size) == 1


def _resized(made: Preprocessing, step: Any) -> Preprocessing:
    if getattr(step, "max_size", None) is not None:
        raise UnreadableTransform("Resize with max_size cannot be expressed as Vitrine's preprocessing")
    kind, size = str(getattr(step.interpolation, "value", step.interpolation)), step.size
    if _is_one(size):
        return replace(made, resize=int(size if isinstance(size, int) else size[0]), interpolation=kind)
    return replace(made, size=(int(size[0]), int(size[1])), resize=None, interpolation=kind)


def _cropped(made: Preprocessing, step: Any) -> Preprocessing:
    """A crop after the shorter side, or the whole image (`made.size`), was resized."""
    size = (step.size,) * 2 if isinstance(step.size, int) else tuple(step.size)
    cropped = int(size[0]), int(size[-1])
    if made.resize is None and made.size not in ((0, 0), cropped):
        return replace(made, size=cropped, resize=made.size)
    return replace(made, size=cropped)


def _must_agree(made: Preprocessing, transform: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        small = rng.integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        if made.alpha:
            picture.putalpha(picture.getchannel(0).rotate(180))
            picture = picture.convert(MODES[made.channels])
        try:
            theirs = torch.as_tensor(transform(picture)).float()
        except Exception as error:  # a transform may raise anything
            raise UnreadableTransform(
                f"This transform fails on a picture ({type(error).__name__}: {str(error)[:80]})"
            ) from error
        ours = made.normalize(made.tensor(picture)[None])[0]
        if theirs.shape != ours.shape:
            raise UnreadableTransform(
                f"This transform gives {tuple(theirs.shape)}, read as '{made.described}' it gives "
                f"{tuple(ours.shape)}"
            )
        apart = (theirs - ours).abs() * torch.tensor(made.std)[:, None, None] / made.white
        if apart.mean() > MEAN_APART or apart.max() > MOST_APART:
            raise UnreadableTransform(
                f"The output of this transform differs from that of '{made.described}' (by up to "
                f"{float(apart.max()):.2f})"
            )
