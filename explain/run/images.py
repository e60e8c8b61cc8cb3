"""Pictures of a run's rows: the originals, the images as the network got them, and means of thumbnails. No
torch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from explain.render import jpeg_bytes, jpeg_url
from explain.run.image_stats import HASH, perceptual_hash
from explain.run.reader import RunData
from explain.run.thumbnails import open_thumbnail
from explain.run.trusted_data import is_inside
from models.data.kind import Places
from models.data.remote.location import is_url
from models.data.reopen import places, reopen
from models.errors import UserError
from models.inputs.channels import as_rgb
from models.preprocessing import Preprocessing

MOST_BITS = 4
"""Bits of 64 in which hashes of one picture may differ, where another version of a library decodes it."""


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


def how_to_read(run: RunData) -> str:
    """What helps where none of a run's originals can be read: for the end of a message."""
    if not run.may_read_data:
        return "the run was made on another machine: allow them with --allow-data."
    if is_url(run.manifest.data_root):
        return "check that it answers, that it still has them, and its credentials."
    return "put them back there."


def known_places(run: RunData, row: int, label: str) -> Places:
    """Where an explanation of the class `label` should lie in the picture of a row, by the name of each
    region; empty where the data does not say so, or may not be read."""
    root = run.manifest.data_root
    if not root or not run.may_read_data:
        return {}
    return places(root, str(run.table.at[row, "id"]), label, not is_inside(run.folder, root))


def pictures_of(run: RunData, row: int) -> tuple[Image.Image, Image.Image | None]:
    """`network_view` of a row, and the original at full size; None where it is not here any more, or another
    picture has taken its place. Read once for both."""
    picture = original(run, row)
    if picture is None or not run.manifest.preprocessing:
        return run.thumbnail_image(row), picture
    view = Preprocessing.from_dict(run.manifest.preprocessing).view(picture)
    return (as_rgb(view), picture) if shows(run, row, view) else (run.thumbnail_image(row), None)


def network_view(run: RunData, row: int) -> Image.Image:
    """RGB: the image of a row as the network got it, from the original at the input's size; the run's
    thumbnail where the original is not here any more, or another picture has taken its place."""
    return pictures_of(run, row)[0]


def shows(run: RunData, row: int, view: Image.Image) -> bool:
    """As `is_of_run`, of a picture as the network gets it."""
    return hash_of(run, row) is None or is_of_run(run, row, perceptual_hash(view))


def is_of_run(run: RunData, row: int, picture: int) -> bool:
    """Whether a picture, by its perceptual hash, is the one that the run has in the row: files keep it where
    they are copied, not where others take their place. True of runs that hold no hashes."""
    before = hash_of(run, row)
    return before is None or alike(before, picture)


def hash_of(run: RunData, row: int) -> int | None:
    """The perceptual hash of the picture that the run has in a row; None of runs that hold none."""
    value = run.table.at[row, HASH] if HASH in run.table else None
    return None if value is None or pd.isna(value) else int(value)


def alike(one: int, two: int) -> bool:
    """Whether hashes are of one picture, or of near duplicates."""
    return (one ^ two).bit_count() <= MOST_BITS


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
