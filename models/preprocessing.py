"""From an image to a network's input: resize, crop, normalize; stored as data, so that a checkpoint can hold
it.

torch is imported where it is needed: the dashboard crops pictures before torch is there.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from models.counts import counted
from models.errors import UserError
from models.inputs.channels import BY_COUNT, MODES, READ, as_rgb, has_alpha, swapped

if TYPE_CHECKING:
    import torch
    from torch import Tensor


LARGE = 16_000_000
"""Pixels of a resized picture above which it is cropped before it is resized."""


Resize = int | tuple[int, int] | Literal["letterbox"] | None
LETTERBOX: Literal["letterbox"] = "letterbox"
CROPS = ("center", "center-floor", "none")
PIXEL_SCALE = 255.0
"""What 8-bit pixels are divided by, unless it is said otherwise."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input of `size` (height, width).

    `resize`: length of the shorter side before the center crop; (height, width) to which the whole image is
    squashed before it; None: the whole image is squashed to `size`; "letterbox": the whole image is fitted
    into `size`, and the rest has the color `fill` (one value for all channels, or one for each in the order
    red, green, blue, alpha; 0 to 255). `crop`:
    "center", where an odd margin is rounded as in torchvision; "center-floor", where it is rounded down as in
    transformers; or "none": the resized shorter side is not cropped, and images that do not come out at
    `size` are errors.

    Then 8-bit pixels are divided by `scale`, and get `mean` and `std` in these units, one for each channel of
    the network, in its order: `order` is "rgb" or "bgr"; a fourth value is alpha; one value: grey, two: grey
    and alpha. Images without alpha are opaque (255). With alpha, Pillow resizes premultiplied colors, as for
    torchvision. `grey_last`: whether a color image becomes grey after it is resized and cropped, or before.

    `exif`: whether a photo is turned as its EXIF orientation says ("apply"), or read as its pixels are stored
    ("ignore"); `bits`: that integer pictures of more than 8 bits use (12: 4095 is white), 0: as the data
    shows."""

    size: tuple[int, int] = (224, 224)
    resize: Resize = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    exif: str = "apply"
    bits: int = 0
    crop: str = "center"
    fill: tuple[int, ...] = (0,)
    scale: float = PIXEL_SCALE
    order: str = "rgb"
    grey_last: bool = False

    @property
    def channels(self) -> int:
        return len(self.mean)

    @property
    def color(self) -> str:
        """One of `COLORS`."""
        if self.channels == 1 and self.grey_last:
            return "grey-last"
        reversed_order = {3: "bgr", 4: "bgra"} if self.order == "bgr" else {}
        return reversed_order.get(self.channels, BY_COUNT[self.channels])

    @property
    def alpha(self) -> bool:
        """Whether the network takes the alpha of images."""
        return has_alpha(self.channels)

    @property
    def white(self) -> float:
        """The value of a white pixel before mean and std: 1, or 255 where pixels are fed as they are."""
        return 255 / self.scale

    def view(self, image: Image.Image) -> Image.Image:
        """The image after resize and crop: `size` pixels, in the mode of `MODES`. Raises UserError where
        `crop` is "none" and the image does not come out at this size."""
        if self.color == "grey-last":
            return self._view(image.convert("RGB")).convert("L")
        return self._view(image.convert(MODES[self.channels]))

    def shown(self, image: Image.Image) -> Image.Image:
        """The `view` for a person: RGB, without alpha (`models.inputs.channels.as_rgb`)."""
        return as_rgb(self.view(image))

    def _view(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        method = Image.Resampling[self.interpolation.upper()]
        if self.resize is None:
            return image.resize((width, height), method)
        if self.resize == LETTERBOX:
            return self._letterboxed(image, method)
        scaled = self.scaled(image.size)
        if self.crop == "none" and scaled != (width, height):
            raise UserError(_not_that_size(image.size, scaled, self.size))
        if scaled[0] * scaled[1] > LARGE:
            return self._cropped_first(image, scaled, method)
        image = image.resize(scaled, method) if scaled != image.size else image
        left, top = (self._start(a, b) for a, b in zip(image.size, (width, height), strict=True))
        return image.crop((left, top, left + width, top + height))

    def view_mask(self, mask: Image.Image) -> Image.Image:
        """A mask as it lies on the `view` of its image; 0 where a letterbox is padded."""
        return replace(self, fill=(0,)).view(mask)

    def scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of an image of this size after it is resized, before it is cropped or padded."""
        height, width = self.size
        if self.resize is None:
            return width, height
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        if self.resize == LETTERBOX:
            ratio = min(width / size[0], height / size[1])
            return min(width, max(1, round(size[0] * ratio))), min(height, max(1, round(size[1] * ratio)))
        short, length = min(size), int(self.resize)
        across, down = (length if side == short else int(length * side / short) for side in size)
        return across, down

    def region(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the network gets, in pixels of an image of `size` (width,
        height); beyond the image where it is padded."""
        half = [
            side * wanted / scaled / 2
            for side, wanted, scaled in zip(size, self.size[::-1], self.scaled(size), strict=True)
        ]
        across, down = size[0] / 2, size[1] / 2
        return across - half[0], down - half[1], across + half[0], down + half[1]

    def _start(self, side: int, wanted: int) -> int:
        """Start of a center crop along one side; negative where the image is smaller: there it is black."""
        if side < wanted:
            return -((wanted - side) // 2)
        return (side - wanted) // 2 if self.crop == "center-floor" else round((side - wanted) / 2.0)

    def _cropped_first(
        self, image: Image.Image, scaled: tuple[int, int], method: Image.Resampling
    ) -> Image.Image:
        """The center of the picture as it would be at `scaled` (width, height), without ever holding all of
        that: a strip of 46,000 × 3 pixels would grow to 4 gigapixels. Equal to resizing and cropping but for
        rounding; outside of the picture it is black, as there."""
        size = self.size[::-1]
        start = [self._start(a, b) for a, b in zip(scaled, size, strict=True)]
        low = [max(0, s) for s in start]
        high = [min(a, s + b) for a, s, b in zip(scaled, start, size, strict=True)]
        ratio = [side / a for side, a in zip(image.size, scaled, strict=True)]
        box = (low[0] * ratio[0], low[1] * ratio[1], high[0] * ratio[0], high[1] * ratio[1])
        part = image.resize((high[0] - low[0], high[1] - low[1]), method, box=box)
        canvas = Image.new(part.mode, size)
        canvas.paste(part, (low[0] - start[0], low[1] - start[1]))
        return canvas

    def _letterboxed(self, image: Image.Image, method: Image.Resampling) -> Image.Image:
        """The whole image in the middle, an odd pixel more on the right and below, as in YOLO's."""
        height, width = self.size
        image = image.resize(self.scaled(image.size), method)
        bands = len(image.getbands())
        fill = self.fill if len(self.fill) == bands else self.fill[:1] * bands
        canvas = Image.new(image.mode, (width, height), fill[0] if bands == 1 else fill)
        canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        return canvas

    def tensor(self, image: Image.Image) -> "Tensor":
        """The image after resize and crop, uint8 (channels, height, width); bytes take a quarter of the
        memory of floats."""
        return as_tensor(self.view(image))

    def normalize(self, pixels: "Tensor", device: "torch.device | str" = "cpu") -> "Tensor":
        """uint8 (N, C, h, w) of `tensor` -> the network's input, float32 (N, C, h, w), channels_last, on the
        device."""
        import torch

        x = pixels.to(device, memory_format=torch.channels_last).float()
        x = swapped(x) if self.order == "bgr" else x
        std = self.scale * torch.tensor(self.std, device=device)
        shift = torch.tensor(self.mean, device=device) * self.scale
        return x.sub_(shift[:, None, None]).div_(std[:, None, None])

    def standardize(self, pixels: "Tensor") -> "Tensor":
        """As `normalize`, of pixels from 0 to 1 (N, C, h, w), on their device; differentiable."""
        mean, std = self._mean_and_std(pixels)
        pixels = swapped(pixels) if self.order == "bgr" else pixels
        return (pixels * self.white - mean) / std

    def restore(self, x: "Tensor") -> "Tensor":
        """The network's input (N, C, h, w) as pixels in the order of `tensor`, of which those of an image are
        from 0 to 1; the inverse of `standardize`."""
        mean, std = self._mean_and_std(x)
        pixels = (x * std + mean) / self.white
        return swapped(pixels) if self.order == "bgr" else pixels

    def _mean_and_std(self, x: "Tensor") -> "list[Tensor]":
        import torch

        return [torch.tensor(v, device=x.device)[:, None, None] for v in (self.mean, self.std)]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def plain(self) -> dict[str, Any]:
        """`as_dict` as it comes back from a JSON file."""
        found: dict[str, Any] = json.loads(json.dumps(self.as_dict()))
        return found

    @property
    def described(self) -> str:
        """One line: '64 × 64 RGB, whole image squashed (bilinear), mean 0.5, std 0.5'."""
        height, width = self.size
        which = "" if height == width else " (height × width)"  # in the order of --input-size
        colors = {
            "grey-last": "grey (after resize and crop)",
            "grey": "grey",
            "grey-alpha": "grey and alpha",
        }
        color = colors.get(self.color, self.color.upper())
        units = "" if self.white == 1 else f"pixels from 0 to {self.white:g}, "
        return (
            f"{height} × {width}{which} {color}, {self._resized()} ({self.interpolation}), "
            f"{units}mean {self._values(self.mean)}, std {self._values(self.std)}"
            + ("" if self.exif == "apply" else ", EXIF orientation ignored")
            + (f", integers of {self.bits} bits" if self.bits else "")
        )

    def _values(self, values: tuple[float, ...]) -> str:
        """'0.5', or '0.4, 0.5, 0.6, alpha 0'."""
        if not self.alpha or len(set(values)) == 1:
            return _numbers(values)
        return f"{', '.join(f'{v:g}' for v in values[:-1])}, alpha {values[-1]:g}"

    def _resized(self) -> str:
        if self.resize is None:
            return "whole image squashed"
        if self.resize == LETTERBOX:
            black = "transparent black" if self.alpha else "black"
            color = black if self.fill == (0,) else f"color {_numbers(self.fill)}"
            return f"whole image letterboxed, padded with {color}"
        crop = {"none": "no crop", "center-floor": "center crop (odd margins rounded down)"}
        how = crop.get(self.crop, "center crop")
        if isinstance(self.resize, tuple):
            return f"whole image squashed to {self.resize[0]} × {self.resize[1]}, {how}"
        return f"shorter side {self.resize}, {how}"

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Preprocessing":
        """What `as_dict` gives, also through JSON; fields that earlier versions did not have are at their
        defaults. Raises UserError for fields of a later version, and for damaged ones."""
        if unknown := raw.keys() - {f.name for f in fields(cls)}:
            names = ", ".join(sorted(map(str, unknown)))
            raise UserError(
                f"This preprocessing has {names}, which this version does not know: open it with the version "
                "that wrote it."
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        made = cls(**values)
        if not made._is_whole():
            raise UserError("This preprocessing is damaged: make the run or the checkpoint again.")
        return made

    def _has_channels(self) -> bool:
        """Whether there are as many values of mean and std as some image has channels, and the order fits."""
        count = self.channels if isinstance(self.mean, tuple) and isinstance(self.std, tuple) else 0
        return count in MODES and len(self.std) == count and (self.order == "rgb" or count != 2)

    def _is_whole(self) -> bool:
        """Whether the values of a file are such as this class writes."""
        resize = (
            self.resize in (None, LETTERBOX) or _are_counts(self.resize, 2) or _are_counts([self.resize], 1)
        )
        return (
            resize
            and _are_counts(self.size, 2)
            and isinstance(self.scale, int | float)
            and self.scale > 0
            and self.crop in CROPS
            and self.order in ("rgb", "bgr")
            and isinstance(self.grey_last, bool)
            and self._has_channels()
            and isinstance(self.fill, tuple)
            and len(self.fill) in (1, self.channels if self.alpha else 3)
            and all(isinstance(v, int) and 0 <= v <= 255 for v in self.fill)
        )


def require_readable(preprocessing: Preprocessing) -> None:
    """Raises UserError for a preprocessing of as many channels as no image has."""
    mean, std = len(preprocessing.mean), len(preprocessing.std)
    if not preprocessing._has_channels():
        raise UserError(f"This preprocessing has {counted(mean, 'value')} of mean and {std} of std: {READ}.")


def _are_counts(values: Any, count: int) -> bool:
    """Whether these are so many whole numbers above 0."""
    return (
        isinstance(values, tuple | list)
        and len(values) == count
        and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)
    )


def _not_that_size(given: tuple[int, int], scaled: tuple[int, int], size: tuple[int, int]) -> str:
    got, made, wanted = (f"{height} × {width}" for height, width in (given[::-1], scaled[::-1], size))
    return (
        f"an image of {got} comes out at {made}, not {wanted} (height × width), and --crop none keeps "
        "it: give --crop center, --resize squash or --resize letterbox"
    )


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
