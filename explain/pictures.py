"""Pictures made of a run's thumbnails."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from explain.render import jpeg_bytes, jpeg_url
from explain.run_data import RunData


def mean_picture(run: RunData, rows: Sequence[int] | np.ndarray, most: int = 48) -> str:
    """The mean of `most` thumbnails, as a data URL; those first in the run, so that few parts are read."""
    total, count, size = np.zeros(0), 0, (0, 0)
    for data in run.thumbnails(sorted(int(r) for r in rows)[:most]):
        with Image.open(io.BytesIO(data)) as image:
            size = size if count else image.size
            pixels = np.asarray(image.convert("RGB").resize(size), float)
        total, count = (total + pixels if count else pixels), count + 1
    return jpeg_url(jpeg_bytes(Image.fromarray((total / max(count, 1)).astype(np.uint8))))
