"""Open a picture safely: known formats only, size checked by its header, first frame, upright, RGB."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".mpo"})
MAX_PIXELS = 100_000_000


class UnreadableImage(UserError):
    """This one file is no picture that can be used; the reason is the message."""


def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture as upright RGB. Raises `UnreadableImage`; nothing is decoded before the header's size is checked."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadableImage(f"{width} × {height} pixels: at most {max_pixels / 1e6:.0f} million are read")
            image.seek(0)
            return ImageOps.exif_transpose(_eight_bits(image)).convert("RGB")
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage("file not found") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage("not a picture of a known format") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImage(f"cannot be decoded ({str(error)[:100] or type(error).__name__})") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and float greys are scaled to 0-255; Pillow alone would clip them to white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = 65535.0 if image.mode.startswith("I") and values.max(initial=0) > 255 else max(values.max(initial=0), 1.0)
    top = top if image.mode.startswith("F") or values.max(initial=0) > 255 else 255.0
    grey = Image.fromarray(np.clip(values * 255 / top, 0, 255).astype(np.uint8))
    grey.info, exif = {}, image.getexif()
    grey.info["exif"] = exif.tobytes() if exif else b""
    return grey
