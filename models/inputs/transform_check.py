"""What a transform of others makes of images, compared with what a `Preprocessing` makes of them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.errors import UserError
from models.inputs.channels import MODES
from models.preprocessing import LETTERBOX, Preprocessing

ROUNDING = 1e-5
"""Accepted difference, as a fraction of the input's range."""
MOST_LEVELS = 8
"""Accepted difference where tensors are resized instead of images, of 255 levels."""
AGREE = "compared with it"


class UnreadableTransform(UserError):
    """`reason`: why a transform cannot be read, without what to do."""

    def __init__(self, reason: str):
        super().__init__(f"{reason}")
        self.reason = reason


def compared(
    made: Preprocessing,
    transform: Callable[[Any], Any],
    resizes_tensors: bool = False,
    what: str = "transform",
) -> str:
    """One phrase: "compared with it", where both give the same for every test image but for rounding; or how
    far they are apart because the transform resizes tensors, and Vitrine images, as Pillow does. Raises
    UnreadableTransform where they differ otherwise, and where they differ by more than `MOST_LEVELS`.
    `what`: of the transform, for messages."""
    resized = [_apart(made, transform, picture) for picture in _pictures(made)]
    alone = [_apart(made, transform, picture) for picture in _as_resized(made)]
    levels = 255 * max(resized)
    if max(resized) <= ROUNDING and max(alone, default=0.0) <= ROUNDING:
        return AGREE
    if resizes_tensors and max(alone, default=1.0) <= ROUNDING:
        shown = f"up to {max(1, round(levels))} of 255 levels apart"
        if levels <= MOST_LEVELS:
            return f"resized by Pillow; the {what} resizes tensors: {shown}"
        raise UnreadableTransform(
            f"This {what} resizes tensors, and Vitrine images, by Pillow: {shown}, more than "
            f"{MOST_LEVELS} (move Resize before the conversion to a tensor, if the network was trained so)"
        )
    raise UnreadableTransform(
        f"The output of this {what} differs from that of '{made.described}' (by up to "
        f"{max(*resized, *alone):.2g} of its range)"
    )


def _apart(made: Preprocessing, transform: Callable[[Any], Any], picture: Image.Image) -> float:
    """The largest difference, as a fraction of the input's range."""
    try:
        theirs = torch.as_tensor(transform(picture)).float()
    except Exception as error:  # a transform may raise anything
        raise UnreadableTransform(
            f"This transform fails on a picture ({type(error).__name__}: {str(error)[:80]})"
        ) from error
    ours: Tensor = made.normalize(made.tensor(picture)[None])[0]
    if theirs.shape != ours.shape:
        raise UnreadableTransform(
            f"This transform gives {tuple(theirs.shape)}, read as '{made.described}' it gives "
            f"{tuple(ours.shape)}"
        )
    return float(((theirs - ours).abs() * torch.tensor(made.std)[:, None, None] / made.white).max())


def _pictures(made: Preprocessing) -> Iterator[Image.Image]:
    """Noise and smooth pictures, larger and smaller than the size, portrait, landscape and nearly square."""
    rng = np.random.default_rng(0)
    height, width = made.size
    large = [(int(2.3 * width) + 3, int(1.6 * height) + 2), (int(1.7 * width) + 2, int(2.6 * height) + 1)]
    small = [(max(3, width * 3 // 4), max(2, height // 2)), (max(2, width // 2), max(3, height * 4 // 5))]
    for size in (*large, *small, (int(1.1 * width) + 1, int(1.1 * height) + 2)):
        noise = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        coarse = (size[0] // 10 + 2, size[1] // 10 + 2)
        for picture in (noise, noise.crop((0, 0, *coarse)).resize(size, Image.Resampling.BICUBIC)):
            yield _in_mode(picture, made)


def _as_resized(made: Preprocessing) -> Iterator[Image.Image]:
    """Noise that has its size after the resize already, so that no resize changes it."""
    if made.resize == LETTERBOX:
        return
    height, width = made.resize if isinstance(made.resize, tuple) else made.size
    if isinstance(made.resize, int):
        height, width = made.resize, made.resize if made.crop == "none" else made.resize * 5 // 4
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    yield _in_mode(Image.fromarray(pixels), made)


def _in_mode(picture: Image.Image, made: Preprocessing) -> Image.Image:
    if made.alpha:
        picture.putalpha(picture.getchannel(0).rotate(180))
        picture = picture.convert(MODES[made.channels])
    return picture
