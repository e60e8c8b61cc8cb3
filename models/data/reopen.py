"""The original picture of a run's row, where it can still be had. No torch."""

from pathlib import Path

from PIL import Image

from models.data.images import UnreadableImage, open_image


def reopen(root: str, item_id: str, exif: str = "apply", bits: int = 0) -> Image.Image | None:
    """The picture `item_id` below a run's data root, read as the run read it (`open_image`); None where the data is not here any more.

    `root` and `item_id` come from the run folder, never from a request.
    """
    if root.startswith("toon_faces:"):
        from models.data.toon_faces import ToonFaces

        split, _, name = item_id.split("/")
        return ToonFaces(split, seed=int(root.split(":")[1])).load(int(Path(name).stem))
    if root.startswith("torchvision:"):
        return None
    try:
        return open_image(Path(root) / item_id, exif=exif, bits=bits)
    except UnreadableImage:
        return None
