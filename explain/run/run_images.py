"""Rows of a run as a source of images: the originals, read where the run found them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from explain.run.images import original
from explain.run.reader import RunData
from models.data.images import UnreadableImage
from models.data.source import ImageSource, Item


class RunImages(ImageSource):
    """Some rows of a run, whose pictures are read where the run found them."""

    def __init__(self, run: RunData, rows: Sequence[int]):
        self._run, self.rows = run, [int(row) for row in rows]
        self.name, self.root, self.classes = run.manifest.request.data, run.manifest.data_root, run.classes
        ids = [str(run.table.at[row, "id"]) for row in self.rows]
        self.truth = run.label_sets.truth[self.rows] if run.all_labels else None  # (n, K) bool
        if run.numbers:
            self.items = [Item(i, "") for i in ids]
        elif self.truth is None:
            names = [run.classes[int(run.table.at[row, "label"])] for row in self.rows]
            self.items = [Item(*pair) for pair in zip(ids, names, strict=True)]
        else:
            sets = [np.array(run.classes, object)[true].tolist() for true in self.truth]
            self.items = [Item.of_set(i, s, run.classes) for i, s in zip(ids, sets, strict=True)]

    def load(self, index: int) -> Image.Image:
        image = original(self._run, self.rows[index])
        if image is None:
            raise UnreadableImage("it is not where the run found it")
        return image
