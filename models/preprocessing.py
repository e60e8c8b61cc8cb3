"""From an image to a network's input: resize, crop, normalize; stored as data, so that a checkpoint can hold
it.

torch is imported where it is needed: the dashboard crops pictures before torch is there.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch
    from torch import Tensor


LARGE = 16_000_000
"""Pixels of a resized picture above which it is cropped before it is resized."""


@dataclass(frozen=True)
class Preprocessing:
    """`resize`: length of the shorter side before the center crop to `size` (height, width); None resizes the
    whole image to `size`. `mean` and `std` are for values in [0, 1], one for each of the `channels`. `exif`:
    whether a photo is turned as its EXIF orientation says ("apply"), or read as its pixels are stored
    ("ignore"); `bits`: that integer pictures of more than 8 bits use (12: 4095 is white), 0: as the data
    shows."""

    size: tuple[int, int] = (224, 224)
    resize: int | None = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    exif: str = "apply"
    bits: int = 0

    @property
    def channels(self) -> int:
        return len(self.mean)

    def view(self, image: Image.Image) -> Image.Image:
        """The image after resize and crop: `size` pixels, RGB or grey."""
        image = image.convert("RGB" if self.channels == 3 else "L")
        height, width = self.size
        method = Image.Resampling[self.interpolation.upper()]
        if self.resize is None:
            return image.resize((width, height), method)
        short = min(image.size)
        scaled = [self.resize if side == short else int(self.resize * side / short) for side in image.size]
        if scaled[0] * scaled[1] > LARGE:
            return _cropped_first(image, scaled, (width, height), method)
        image = image.resize((scaled[0], scaled[1]), method) if tuple(scaled) != image.size else image
        left, top = (_start(a, b) for a, b in zip(image.size, (width, height), strict=True))
        return image.crop((left, top, left + width, top + height))

    def tensor(self, image: Image.Image) -> "Tensor":
        """The image after resize and crop, uint8 (channels, height, width); bytes take a quarter of the
        memory of floats."""
        return as_tensor(self.view(image))

    def normalize(self, pixels: "Tensor", device: "torch.device | str" = "cpu") -> "Tensor":
        """uint8 (N, C, h, w) -> float32 (N, C, h, w), channels_last, on the device."""
        import torch

        x = pixels.to(device, memory_format=torch.channels_last).float()
        scale = 255 * torch.tensor(self.std, device=device)
        shift = torch.tensor(self.mean, device=device) * 255
        return x.sub_(shift[:, None, None]).div_(scale[:, None, None])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def described(self) -> str:
        """One line: '64 × 64 RGB, squashed (bilinear), mean 0.5, std 0.5'."""
        height, width = self.size
        cut = "whole image squashed" if self.resize is None else f"shorter side {self.resize}, center crop"
        turned = ("" if self.exif == "apply" else ", EXIF orientation ignored") + (
            f", integers of {self.bits} bits" if self.bits else ""
        )
        which = "" if height == width else " (height × width)"  # in the order of --input-size
        return (
            f"{height} × {width}{which} {'RGB' if self.channels == 3 else 'grey'}, {cut} "
            f"({self.interpolation}), "
            f"mean {_numbers(self.mean)}, std {_numbers(self.std)}{turned}"
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Preprocessing":
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return cls(**values)


def _start(side: int, wanted: int) -> int:
    """Start of a center crop along one side; negative where the image is smaller, which is black there.
    Rounds as torchvision's CenterCrop."""
    return round((side - wanted) / 2.0) if side >= wanted else -((wanted - side) // 2)


def _cropped_first(
    image: Image.Image, scaled: list[int], size: tuple[int, int], method: Image.Resampling
) -> Image.Image:
    """The center of the picture as it would be at `scaled` (width, height), without ever holding all of that:
    a strip of 46,000 × 3 pixels would grow to 4 gigapixels. Equal to resizing and cropping but for rounding;
    outside of the picture it is black, as there."""
    start = [_start(a, b) for a, b in zip(scaled, size, strict=True)]
    low = [max(0, s) for s in start]
    high = [min(a, s + b) for a, s, b in zip(scaled, start, size, strict=True)]
    ratio = [side / a for side, a in zip(image.size, scaled, strict=True)]
    box = (low[0] * ratio[0], low[1] * ratio[1], high[0] * ratio[0], high[1] * ratio[1])
    part = image.resize((high[0] - low[0], high[1] - low[1]), method, box=box)
    canvas = Image.new(part.mode, size)
    canvas.paste(part, (low[0] - start[0], low[1] - start[1]))
    return canvas


def _numbers(values: tuple[float, ...]) -> str:
    """One number where all are equal."""
    return ", ".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values))


def as_tensor(image: Image.Image) -> "Tensor":
    """An image that is cropped already, as uint8 (channels, height, width)."""
    import torch

    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def stack(pictures: "list[Tensor]") -> "Tensor":
    """uint8 images (C, h, w) of `as_tensor` -> (N, C, h, w), channels_last: their layout in memory, so
    nothing is permuted."""
    import torch

    return torch.stack([p.permute(1, 2, 0) for p in pictures]).permute(0, 3, 1, 2)


UNIT = Preprocessing(size=(128, 128), resize=None, mean=(0.0,) * 3, std=(1.0,) * 3)
"""Plain values in [0, 1] at 128 × 128: what the FER networks take."""
