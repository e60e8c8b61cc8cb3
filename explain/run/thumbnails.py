"""Thumbnails of a run folder, which may be another's: JPEG alone, and small."""

import io

from PIL import Image

from models.errors import UserError

LARGEST = 1024  # pixels a side; those of a run have at most 128
_MOST_BYTES = 1_000_000


def open_thumbnail(data: bytes) -> Image.Image:
    """Raises UserError for bytes that are no small JPEG: no other decoder sees them, and nothing is decoded
    before its size is known."""
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"{len(data):,} bytes")
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if max(image.size) > LARGEST:
            raise ValueError(f"{image.width} × {image.height} pixels")
        image.load()
        return image
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise UserError(f"A thumbnail of this run is no small JPEG ({reason}): run it again.") from error
