"""Open an image safely: known formats only, size checked by its header, first frame, upright, RGB."""

import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import UserError

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "DIB",
    "GIF",
    "TIFF",
    "PPM",
    "AVIF",
    "JPEG2000",
    "TGA",
    "PCX",
    "SGI",
    "QOI",
)
"""Pillow's decoders for raster images that start no other program."""
SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".bmp",
        ".dib",
        ".gif",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".pfm",
        ".avif",
        ".jp2",
        ".j2k",
        ".jpx",
        ".jpf",
        ".j2c",
        ".jpc",
        ".tga",
        ".pcx",
        ".sgi",
        ".qoi",
    }
)
MAX_PIXELS = 100_000_000
LONG_SIDE, MAX_RATIO = 10_000, 100
"""Pixels of a side up to which an image may have any aspect ratio, and the maximum aspect ratio above it."""
_ORIENTATION = 0x0112


class UnreadableImage(UserError):
    """This file is no image that can be read; the message is the reason."""


def open_image(path: Path, max_pixels: int = MAX_PIXELS, exif: str = "apply", bits: int = 0) -> Image.Image:
    """The image as RGB, turned as its EXIF orientation says unless `exif` is "ignore".

    `bits`: how many bits the integer images of more than 8 bits use; 0: as many as this image does. Raises
    `UnreadableImage`; nothing is decoded before the header's size is checked.
    """
    try:
        with _opened(path) as image:
            width, height = image.size
            _must_fit(width, height, max_pixels)
            image.seek(0)
            shallow = _eight_bits(image, bits)
            return (ImageOps.exif_transpose(shallow) if exif == "apply" else shallow).convert("RGB")
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage("file not found") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage("not a picture of a known format") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImage(f"cannot be decoded ({str(error)[:100] or type(error).__name__})") from error


def _opened(path: Path) -> Image.Image:
    """The image with its header read. Raises `UnreadableImage` for anything but a regular file: reading a
    pipe or a device might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableImage("no regular file")
    return Image.open(path, formats=FORMATS)


def _must_fit(width: int, height: int, max_pixels: int) -> None:
    """Raises `UnreadableImage` for an image that needs too much memory, also while it is resized: resizing
    one direction first makes an intermediate of its longer side times the input's."""
    if width * height > max_pixels:
        raise UnreadableImage(f"{width} × {height} pixels: at most {max_pixels / 1e6:.0f} million are read")
    long, short = max(width, height), min(width, height)
    if long > LONG_SIDE and long > MAX_RATIO * short:
        raise UnreadableImage(
            f"{width} × {height} pixels: above {LONG_SIDE:,} pixels a side may be at most {MAX_RATIO} "
            "times the other"
        )


def is_image(path: Path) -> bool:
    """Whether the file's header is that of an image of a known format, whatever its name."""
    try:
        with _opened(path):
            return True
    except Exception:  # as in `open_image`
        return False


def about_image(path: Path) -> tuple[int, bool, bool]:
    """(bits in use of an integer picture of more than 8 bits, otherwise 0; whether its EXIF orientation turns
    it; whether it holds floats). (0, False, False) for a file that cannot be read."""
    try:
        with _opened(path) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                return 0, False, False
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
            return (
                (bits_in_use(np.asarray(image)) if image.mode.startswith("I") else 0),
                turned,
                image.mode.startswith("F"),
            )
    except Exception:  # as in `open_image`
        return 0, False, False


def bits_in_use(values: np.ndarray) -> int:
    """8 to 16 (or more): the fewest bits that hold the largest of these integers."""
    return max(8, int(values.max(initial=0)).bit_length())


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """Greys of more than 8 bits, and float greys, are scaled to 0-255; Pillow alone would clip them to
    white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = (
        max(values.max(initial=0), 1.0)
        if image.mode.startswith("F")
        else float(2 ** max(bits, bits_in_use(values)) - 1)
    )
    grey = Image.fromarray(np.clip(np.round(values * 255 / top), 0, 255).astype(np.uint8))
    grey.info, exif = {}, image.getexif()
    grey.info["exif"] = exif.tobytes() if exif else b""
    return grey
