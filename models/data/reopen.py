"""The original picture of a run's row, where it can still be had. No torch."""

from PIL import Image

from models.data.kind import Places, ReopenRequest
from models.data.registry import kind_of_root
from models.data.reopen_file import below

__all__ = ["below", "is_private", "places", "reopen"]


def reopen(
    root: str,
    item_id: str,
    exif: str = "apply",
    bits: int = 0,
    trusted: bool = True,
    white: float = 1.0,
    alpha: bool = False,
) -> Image.Image | None:
    """The picture `item_id` below a run's data root, read as the run read it (`open_image`); None where the
    data is not here any more. `trusted`: the id may lead out of the root, as the absolute paths of a table
    do, and links may; otherwise neither is followed.

    `root` and `item_id` come from the run folder, never from a request.
    """
    return kind_of_root(root).reopen(ReopenRequest(root, item_id, exif, bits, trusted, white, alpha))


def places(root: str, item_id: str, label: str, trusted: bool = True) -> Places:
    """Where an explanation of the class `label` should lie in the picture `item_id`, by the name of each
    region; empty where the data does not say so. As `reopen` otherwise."""
    return kind_of_root(root).places(ReopenRequest(root, item_id, trusted=trusted), label)


def is_private(root: str) -> bool:
    """Whether the pictures below a run's data root are read from files of this machine; those that are drawn
    are not."""
    return kind_of_root(root).private
