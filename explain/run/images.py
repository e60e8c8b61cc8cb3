"""Pictures of a run's rows: the originals, the images as the network got them, and means of thumbnails. No
torch."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from explain.render import jpeg_bytes, jpeg_url
from explain.run.reader import RunData
from explain.run.thumbnails import open_thumbnail
from explain.run.trusted_data import is_inside
from models.data.kind import Places
from models.data.reopen import places, reopen
from models.errors import UserError
from models.preprocessing import Preprocessing


def original(run: RunData, row: int) -> Image.Image | None:
    """The picture of a row of the run, where its data is still here and may be read
    (`explain.run.trusted_data`)."""
    root, request = run.manifest.data_root, run.manifest.request
    if not root or not run.may_read_data:
        return None
    try:
        exif, trusted = request.preprocessing.get("exif", "apply"), not is_inside(run.folder, root)
        name, bits, white = str(run.table.at[row, "id"]), request.bits, request.white
        return reopen(root, name, exif, bits, trusted, white, request.alpha)
    except UserError:  # a data set that is another one by now
        return None


def known_places(run: RunData, row: int, label: str) -> Places:
    """Where an explanation of the class `label` should lie in the picture of a row, by the name of each
    region; empty where the data does not say so, or may not be read."""
    root = run.manifest.data_root
    if not root or not run.may_read_data:
        return {}
    return places(root, str(run.table.at[row, "id"]), label, not is_inside(run.folder, root))


def network_view(run: RunData, row: int) -> Image.Image:
    """RGB: the image of a row as the network got it, from the original at the input's size, or else the run's
    thumbnail."""
    picture = original(run, row)
    if picture is None or not run.manifest.preprocessing:
        return run.thumbnail_image(row)
    return Preprocessing.from_dict(run.manifest.preprocessing).shown(picture)


def mean_picture(run: RunData, rows: Sequence[int] | np.ndarray, most: int = 48) -> str:
    """`mean_pixels` as a data URL."""
    return jpeg_url(jpeg_bytes(mean_pixels(run, rows, most)))


def mean_pixels(run: RunData, rows: Sequence[int] | np.ndarray, most: int = 48) -> Image.Image:
    """The mean of `most` thumbnails, RGB; those first in the run, so that few parts are read."""
    total, count, size = np.zeros(0), 0, (0, 0)
    for data in run.thumbnails(sorted(int(r) for r in rows)[:most]):
        image = open_thumbnail(data)
        size = size if count else image.size
        pixels = np.asarray(image.convert("RGB").resize(size), float)
        total, count = (total + pixels if count else pixels), count + 1
    return Image.fromarray((total / max(count, 1)).astype(np.uint8))
