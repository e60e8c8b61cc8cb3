"""Where the map of an image should lie, on the grid of cells: regions that the data knows, or boxes that a
person gives."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explain.quality.cells import Grid
from explain.quality.grids import resized
from explain.quality.sample import target_name
from explain.run.images import known_places, original
from explain.run.reader import RunData
from models.classifier import Classifier
from models.data.tables.boxes import Boxes

BOXES = "boxes"


@dataclass(frozen=True, eq=False)
class Regions:
    """Of the images of a run, as the network sees them. `boxes`: instead of what the data knows."""

    run: RunData
    classifier: Classifier
    boxes: Boxes | None = None

    @property
    def key(self) -> str:
        """A name for where the regions come from: '' for the data."""
        return f"{BOXES}:{self.boxes.key}" if self.boxes is not None else ""

    def of(self, row: int, target: int, grid: Grid) -> dict[str, Tensor]:
        """Name -> the fraction of each cell (g, h) that lies in the region, for the map of output `target`;
        empty where none is known."""
        masks = self._in_picture(row, self._name(target))
        view = self.classifier.preprocessing.view_mask
        found = {}
        for name, mask in masks.items():
            seen = np.asarray(view(Image.fromarray(mask.astype(np.uint8) * 255)).convert("L"), np.float32)
            found[name] = resized(torch.from_numpy(seen / 255), grid)
        return found

    def _name(self, target: int) -> str:
        """The class, label or output as the data calls it."""
        if self.run.numbers:
            return target_name(self.run)
        return self.run.data_names[1 if target_name(self.run) else target]

    def _in_picture(self, row: int, label: str) -> dict[str, np.ndarray]:
        if self.boxes is None:
            return dict(known_places(self.run, row, label))
        picture = original(self.run, row)
        name = str(self.run.table.at[row, "id"])
        mask = None if picture is None else self.boxes.mask(name, label, picture.size)
        return {} if mask is None else {BOXES: mask}
