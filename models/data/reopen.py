"""The original picture of a run's row, where it can still be had. No torch."""

import os
from pathlib import Path

from PIL import Image

from models.data.images import UnreadableImage, open_image

TOON_FACES, TORCHVISION = "toon_faces:", "torchvision:"
WITHOUT_FILES = (TOON_FACES, TORCHVISION)
"""Roots of data that is drawn, or lies in one archive: no folder of pictures."""


def reopen(
    root: str, item_id: str, exif: str = "apply", bits: int = 0, trusted: bool = True
) -> Image.Image | None:
    """The picture `item_id` below a run's data root, read as the run read it (`open_image`); None where the
    data is not here any more. `trusted`: the id may lead out of the root, as the absolute paths of a table
    do, and links may; otherwise neither is followed.

    `root` and `item_id` come from the run folder, never from a request.
    """
    if root.startswith(TOON_FACES):
        return _drawn(root, item_id)
    if root.startswith(TORCHVISION):
        return None
    try:
        path = Path(root, item_id) if trusted else below(root, item_id)
        return open_image(path, exif=exif, bits=bits) if path is not None else None
    except UnreadableImage:
        return None


def below(root: str, item_id: str) -> Path | None:
    """The file of this id; None where it, or a link on the way, leads out of the root."""
    if not item_id or "\0" in item_id or os.path.isabs(item_id):
        return None
    inside = os.path.normpath(os.path.join(root, item_id))
    if os.path.commonpath([os.path.normpath(root), inside]) != os.path.normpath(root):
        return None
    return Path(inside) if Path(inside).resolve().is_relative_to(Path(root).resolve()) else None


def _drawn(root: str, item_id: str) -> Image.Image | None:
    from models.data.toon_faces import ToonFaces

    try:
        split, _, name = item_id.split("/")
        return ToonFaces(split, seed=int(root.split(":")[1])).load(int(Path(name).stem))
    except (ValueError, KeyError, IndexError):  # ids of others
        return None
