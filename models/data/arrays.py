"""Images in NumPy's `.npy` files: the header is checked before the values are read, and nothing is unpickled.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from models.errors import UserError

MAGIC = npy.MAGIC_PREFIX
MAX_BYTES = 512 * 2**20
"""Of the values of an array, and of a file within an archive: no more is read into memory."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


_CHANNELS_FIRST = "; save channels last, as numpy.moveaxis(values, 0, -1) gives them"


@dataclass(frozen=True)
class ArrayHeader:
    """What a `.npy` file says of its values; `shape` is (h, w) or (h, w, 1 to 4)."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def alpha(self) -> bool:
        """Whether the last channel is alpha: (h, w, 2) is grey and alpha, (h, w, 4) RGBA."""
        return self.shape[2:] in ((2,), (4,))

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO) -> ArrayHeader:
    """The header of a `.npy` file. Raises UserError for an array that is no image by its shape or type, and
    ValueError for what is no `.npy` file."""
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise UserError(f"an array in version {version[0]} of the format: save it again with numpy.save")
    shape, fortran, dtype = _HEADERS[version](file)
    if not _is_image(shape):
        raise UserError(
            f"an array of shape {shape}: an image is (h, w), (h, w, 1) or (h, w, 3); with alpha (h, w, 2) or "
            f"(h, w, 4){_CHANNELS_FIRST if len(shape) == 3 and shape[0] <= 4 else ''}"
        )
    if dtype.kind != "f" and not (dtype.kind == "u" and dtype.itemsize <= 2):
        raise UserError(f"an array of {dtype}: uint8, uint16 and floats are read")
    header = ArrayHeader(shape, fortran, dtype)
    if header.alpha and dtype.kind == "u" and dtype.itemsize == 2:
        raise UserError("an array of uint16 with alpha: save it as uint8, or as floats")
    return header


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) in (2, 3) and min(shape) > 0 and shape[2:] in ((), (1,), (2,), (3,), (4,))


def read_values(file: BinaryIO, header: ArrayHeader) -> np.ndarray:
    """(h, w) or (h, w, 2 to 4): the values after the header. Raises UserError for too many, and for a file
    that is cut off."""
    if header.bytes > MAX_BYTES:
        raise UserError(f"{header.bytes / 2**20:,.0f} MB of values: at most {MAX_BYTES // 2**20} MB are read")
    data = file.read(header.bytes)
    if len(data) < header.bytes:
        raise UserError(f"cut off: {len(data):,} of {header.bytes:,} bytes are there")
    values = np.frombuffer(data, header.dtype).astype(header.dtype.newbyteorder("="), copy=False)
    values = values.reshape(header.shape, order="F" if header.fortran else "C")
    return values[..., 0] if header.shape[2:] == (1,) else values


def floats_as_bytes(values: np.ndarray, white: float) -> np.ndarray:
    """Floats from 0 (black) to `white` as uint8. Raises UserError, which names their range, for others: what
    is white cannot be known."""
    low, high = float(values.min()), float(values.max())
    if math.isnan(low) or not (low >= 0 and high <= white):
        has = "NaN" if math.isnan(low) else f"values from {low:.4g} to {high:.4g}"
        other = "" if white != 1 else "; with --scale 1 they are read from 0 to 255"
        raise UserError(f"floats with {has}: floats are read from 0 (black) to {white:g} (white){other}")
    return np.round(values.astype(np.float64) * (255 / white)).astype(np.uint8)
