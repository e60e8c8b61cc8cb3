"""From what a person writes after --data to a labelled set of images."""

from pathlib import Path

import numpy as np
from PIL import Image

from models.data.source import ImageSource, Item
from models.errors import UserError


def open_data(spec: str, split: str | None = None, image_col: str | None = None, label_col: str | None = None,
              limit: int | None = None, seed: int = 0) -> ImageSource:  # fmt: skip
    """A folder, a .csv or .parquet table, `toon_faces`, or `torchvision:NAME`; `limit` keeps that many, evenly spread.

    Raises UserError that says what was found instead.
    """
    source = _open(spec, split, image_col, label_col, seed)
    return source if limit is None or limit >= len(source) else Subset(source, limit)


def _open(spec: str, split: str | None, image_col: str | None, label_col: str | None, seed: int) -> ImageSource:
    if spec == "toon_faces":
        from models.data.toon_faces import ToonFaces

        return ToonFaces(split or "test", seed=seed)
    if spec.startswith("torchvision:"):
        from models.data.torchvision_sets import TorchvisionSource

        return TorchvisionSource(spec.removeprefix("torchvision:"), split)
    path = Path(spec).expanduser()
    if path.suffix.lower() in (".csv", ".tsv", ".parquet") and path.is_file():
        from models.data.table import TableSource

        return TableSource(path, image_col, label_col, split)
    if path.is_file():
        raise UserError(f"'{spec}' is a file: give a folder with one subfolder a class, or a .csv or .parquet table.")
    from models.data.folder import FolderSource

    return FolderSource(path, split)


class Subset(ImageSource):
    """`size` images of another source, evenly spread over its order."""

    def __init__(self, source: ImageSource, size: int):
        if size < 1:
            raise UserError(f"--limit {size}: at least one image is needed.")
        self.source = source
        self.kept = np.unique(np.linspace(0, len(source) - 1, size).round().astype(int))
        self.name, self.root, self.classes = source.name, source.root, source.classes
        self.items: list[Item] = [source.items[i] for i in self.kept]

    def load(self, index: int) -> Image.Image:
        return self.source.load(int(self.kept[index]))
