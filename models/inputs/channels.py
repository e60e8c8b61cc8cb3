"""The channels of a network's input, as `--channels` names them, and how they are shown to a person.

torch is not needed: the dashboard crops pictures before it is there.
"""

import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.counts import counted

if TYPE_CHECKING:
    from torch import Tensor

COLORS = ("rgb", "bgr", "grey", "grey-last", "rgba", "bgra", "grey-alpha")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Number of channels -> the mode of Pillow that images are converted to."""
BY_COUNT = {1: "grey", 2: "grey-alpha", 3: "rgb", 4: "rgba"}
"""Number of channels -> what images are read as where nothing else is said."""
READ = "networks of 1, 2, 3 or 4 channels are read (grey, grey-alpha, rgb, rgba)"


def channels_of(color: str) -> int:
    """How many channels one of `COLORS` has."""
    return {"grey": 1, "grey-last": 1, "grey-alpha": 2, "rgba": 4, "bgra": 4}.get(color, 3)


def has_alpha(channels: int) -> bool:
    """Whether the last of so many channels is alpha."""
    return channels in (2, 4)


_REFUSALS = (
    r"to have (?P<wanted>\d+) channels, but got (?P<got>\d+) channels",  # a convolution of PyTorch
    r"\[1\] to be equal to (?P<wanted>\d+), but got (?P<got>\d+)",  # torch.export
    r"axis -1 of input shape to have value (?P<wanted>\d+), but received .*, (?P<got>\d+)\)",  # Keras
    r"index: [13] Got: (?P<got>\d+) Expected: (?P<wanted>\d+)",  # ONNX Runtime
)
"""What networks of several kinds say of images of other channels."""


def channels_wanted(error: Exception, given: int) -> int | None:
    """How many channels the network takes that failed with this error for images of `given` channels; None
    where the error has another cause."""
    found = next(filter(None, (re.search(pattern, str(error)) for pattern in _REFUSALS)), None)
    return int(found["wanted"]) if found and int(found["got"]) == given else None


def how_to_read(channels: int) -> str:
    """What to do about a network of so many channels that gets images of others, one phrase."""
    if channels not in BY_COUNT:
        return f"it takes {counted(channels, 'channel')}, and {READ}"
    many = channels > 1
    return (
        f"it takes {channels} channel{'s' if many else ''}: add --channels {BY_COUNT[channels]}, with --mean "
        f"and --std for {'them' if many else 'it'}"
    )


def swapped(x: "Tensor") -> "Tensor":
    """RGB or RGBA (N, C, h, w) with red and blue exchanged; alpha stays last."""
    if x.shape[1] == 3:
        return x.flip(1)
    import torch

    return torch.cat([x[:, :3].flip(1), x[:, 3:]], 1)


def as_rgb(image: Image.Image) -> Image.Image:
    """RGB for a person. Alpha is dropped, not composited: these are the colors that the network gets."""
    return image.convert("RGB")


def rgb_values(values: np.ndarray) -> np.ndarray:
    """(..., C) of 1 to 4 channels -> (..., 3), as `as_rgb`: grey is repeated, alpha dropped."""
    colors = color_values(values)
    return colors if colors.shape[-1] == 3 else colors.repeat(3, -1)


def color_values(values: np.ndarray) -> np.ndarray:
    """(..., C) of 1 to 4 channels -> (..., 1) or (..., 3): without alpha."""
    return values[..., : 3 if values.shape[-1] >= 3 else 1]
