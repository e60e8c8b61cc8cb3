"""Open an image safely: known formats only, size checked by its header, first frame, upright, RGB or RGBA."""

import importlib
import io
import stat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.data import arrays
from models.data.remote.path import RemotePath
from models.errors import UserError

File = Path | RemotePath | bytes
"""A file, or all of its bytes."""


def _reads_heic() -> bool:
    """Whether the optional package pillow-heif is installed; its decoder is registered."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


HEIC = _reads_heic()
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
HEIC_REMEDY = "install pillow-heif, or save it as JPEG or PNG"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

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
    *(("HEIF",) if HEIC else ()),
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
        *(HEIC_SUFFIXES if HEIC else ()),
    }
)
ARRAY = ".npy"
"""Suffix of arrays, of which only the header says whether they are images."""
DICOM = (".dcm", ".dicom")
DICOM_REMEDY = "save it as PNG or .npy first, with the window that the network was trained with"
REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(DICOM, ("DICOM", DICOM_REMEDY)),
    **({} if HEIC else dict.fromkeys(HEIC_SUFFIXES, ("HEIC", HEIC_REMEDY))),
}
"""Suffixes of images that are not read -> the name of their format, and what to do."""
CAMERA_BITS = (8, 10, 12, 14, 16)
"""Bits a channel of screens, cameras and scanners."""
LEVELS = 256
"""Of a channel, as it is given to a network: pictures are resized as 8 bits."""
PNG: dict[str, Any] = {"format": "PNG", "compress_level": 4}
"""How large pictures are saved: as small as at Pillow's level 6, in half the time."""
MAX_PIXELS = 100_000_000
LONG_SIDE, MAX_RATIO = 10_000, 100
"""Pixels of a side up to which an image may have any aspect ratio, and the maximum aspect ratio above it."""
_ORIENTATION = 0x0112
_SUBFILE, _OLD_SUBFILE = 254, 255  # TIFF tags that say what a page is
_REDUCED_OR_MASK = 0b101
_PAGES = 16  # of a TIFF that are looked at


class UnreadableImage(UserError):
    """This file is no image that can be read; the message is the reason."""


def open_image(
    file: File,
    max_pixels: int = MAX_PIXELS,
    exif: str = "apply",
    bits: int = 0,
    white: float = 1.0,
    alpha: bool = False,
) -> Image.Image:
    """The image of a file, or of a file's bytes, as RGB, or with `alpha` as RGBA; turned as its EXIF
    orientation says unless `exif` is "ignore".

    `bits`: how many bits the integer images of more than 8 bits use; 0: as this image shows; `white`:
    the largest value of images of floats (`Preprocessing.white`). Raises `UnreadableImage`; nothing is
    decoded before the header's size is checked.
    """
    try:
        try:
            return _decoded(file, max_pixels, exif, bits, white, alpha)
        except UnidentifiedImageError:
            return _of_array(file, max_pixels, bits, white, alpha)
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage("file not found") from error
    except UserError as error:
        raise UnreadableImage(str(error)) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImage(f"cannot be decoded ({str(error)[:100] or type(error).__name__})") from error


def _decoded(file: File, max_pixels: int, exif: str, bits: int, white: float, alpha: bool) -> Image.Image:
    with _opened(file) as image:
        width, height = image.size
        _must_fit(width, height, max_pixels)
        if image.format == "TIFF" and _has_pages(image):
            raise UnreadableImage(
                "a TIFF of several pages: which of them is the image is not known; save one page per file"
            )
        image.seek(0)
        shallow = _eight_bits(image, bits, white)
        upright = ImageOps.exif_transpose(shallow) if exif == "apply" else shallow
        return upright.convert("RGBA" if alpha else "RGB")


def _opened(file: File) -> Image.Image:
    """The image with its header read. Raises `UnreadableImage` for anything but a regular file: reading a
    pipe or a device might never end."""
    if not isinstance(file, Path):
        return Image.open(_stream(file), formats=FORMATS)
    _must_be_regular(file)
    return Image.open(file, formats=FORMATS)


def _must_be_regular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnreadableImage("no regular file")


def _has_pages(image: Any) -> bool:
    """Whether a TIFF has further pages that are neither smaller copies of the first nor masks."""
    for page in range(1, _PAGES):
        try:
            image.seek(page)
        except Exception:  # EOFError, or a damaged directory of a page that is not needed
            return False
        tags = image.tag_v2
        if not (int(tags.get(_SUBFILE, 0)) & _REDUCED_OR_MASK or tags.get(_OLD_SUBFILE) == 2):
            return True
    return False


def _stream(file: File) -> BinaryIO:
    if isinstance(file, bytes):
        return io.BytesIO(file)
    if isinstance(file, Path):
        _must_be_regular(file)
    return file.open("rb")


def _of_array(file: File, max_pixels: int, bits: int, white: float, alpha: bool) -> Image.Image:
    """The image of a `.npy` file. Raises `UnreadableImage`, or UserError, for all that is none, with the name
    of the format where it is a known one; and for one with alpha, unless `alpha` is wanted: other things are
    stored so, too."""
    with _stream(file) as stream:
        start = stream.read(132)
        if not start.startswith(arrays.MAGIC):
            raise UnreadableImage(_named_format(file, start))
        stream.seek(0)
        header = arrays.read_header(stream)
        if header.alpha and not alpha:
            raise UnreadableImage(
                f"an array of shape {header.shape}, for a network without alpha: give (h, w), (h, w, 1) or "
                "(h, w, 3); (h, w, 4) is read with --channels rgba, (h, w, 2) with --channels grey-alpha"
            )
        _must_fit(header.shape[1], header.shape[0], max_pixels)
        values = arrays.read_values(stream, header)
    if values.dtype == np.uint16:
        values = _scaled(values, _white(values, bits))
    elif values.dtype.kind == "f":
        values = arrays.floats_as_bytes(values, white)
    return Image.fromarray(np.ascontiguousarray(values)).convert("RGBA" if alpha else "RGB")


def _named_format(file: File, start: bytes) -> str:
    """The reason why a file that Pillow does not know is not read; `start`: its first 132 bytes."""
    if start[128:] == b"DICM" or (not isinstance(file, bytes) and file.suffix.lower() in DICOM):
        return f"DICOM: {DICOM_REMEDY}"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return f"HEIC: {HEIC_REMEDY}"
    return "not a picture of a known format"


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


def is_image(path: File) -> bool:
    """Whether the file's header is that of an image of a known format, whatever its name."""
    try:
        with _opened(path):
            return True
    except UnidentifiedImageError:
        return _is_array(path)
    except Exception:  # as in `open_image`
        return False


def _is_array(path: File) -> bool:
    try:
        with _stream(path) as stream:
            arrays.read_header(stream)
            return True
    except (ValueError, OSError):  # UserError is a ValueError
        return False


class ImageFacts(NamedTuple):
    """Of a picture: the `bits` that the integers of one with more than 8 bits use, otherwise 0; whether its
    EXIF orientation turns it; whether it holds `floats`; whether values are `rounded` to 8 bits a channel."""

    bits: int = 0
    turned: bool = False
    floats: bool = False
    rounded: bool = False


def about_image(file: File) -> ImageFacts:
    """Nothing of all this for a file that cannot be read."""
    try:
        with _opened(file) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                return ImageFacts()
            rounded = _is_deep_color(image)  # before the data are read, as `getexif` does of PNG
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
            bits = bits_in_use(np.asarray(image)) if image.mode.startswith("I") else 0
            floats = image.mode.startswith("F")
            return ImageFacts(bits, turned, floats, rounded or bits > 8 or floats)
    except UnidentifiedImageError:
        return _about_array(file)
    except Exception:  # as in `open_image`
        return ImageFacts()


def _is_deep_color(image: Any) -> bool:
    """Whether a picture of several channels has 16 bits a channel, of which Pillow reads the upper 8: by the
    layout of its data (`tile`, known before they are read), such as 'RGB;16B' of PNG and TIFF."""
    if image.mode.startswith("I") or not image.tile:
        return False
    layout = image.tile[0][3]
    parts = layout if isinstance(layout, tuple) else (layout,)
    return any(isinstance(part, str) and ";16" in part for part in parts)


def has_alpha(file: File) -> bool:
    """Whether the header of an image says that it has alpha, or a transparent color. False for a file that
    cannot be read."""
    try:
        with _opened(file) as image:
            return bool(image.has_transparency_data)
    except UnidentifiedImageError:
        try:
            with _stream(file) as stream:
                return arrays.read_header(stream).alpha
        except (ValueError, OSError):
            return False
    except Exception:  # as in `open_image`
        return False


def _about_array(file: File) -> ImageFacts:
    try:
        with _stream(file) as stream:
            header = arrays.read_header(stream)
            if header.dtype.itemsize == 1:
                return ImageFacts()
            values = arrays.read_values(stream, header)
        if header.dtype.kind == "f":
            return ImageFacts(floats=True, rounded=True)
        return ImageFacts(bits := bits_in_use(values), rounded=bits > 8)
    except (ValueError, OSError):
        return ImageFacts()


def bits_in_use(values: np.ndarray) -> int:
    """8 to 16 (or more): the fewest bits that hold the largest of these integers."""
    return max(8, int(values.max(initial=0)).bit_length())


def camera_bits(used: int) -> int:
    """The least of `CAMERA_BITS` that has the bits in use: the largest value of a set is often not white."""
    return next((bits for bits in CAMERA_BITS if bits >= used), used)


def _white(values: np.ndarray, bits: int) -> float:
    """The largest integer of so many bits; of as many as these values show, where they need more."""
    used = bits_in_use(values)
    return float(2 ** (bits if bits >= used else camera_bits(used)) - 1)


def _eight_bits(image: Image.Image, bits: int, white: float) -> Image.Image:
    """Greys of more than 8 bits, and float greys, are scaled to 0-255; Pillow alone would clip them to
    white. Raises UserError for floats beyond `white`."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, np.float64)
    if image.mode.startswith("F"):
        grey = Image.fromarray(arrays.floats_as_bytes(values, white))
    else:
        grey = Image.fromarray(_scaled(values, _white(values, bits)))
    grey.info, exif = {}, image.getexif()
    grey.info["exif"] = exif.tobytes() if exif else b""
    return grey


def _scaled(values: np.ndarray, top: float) -> np.ndarray:
    """Values from 0 to `top` as uint8."""
    return np.clip(np.round(values.astype(np.float64) * 255 / top), 0, 255).astype(np.uint8)
