"""Another image of the class of a map: the map of the same method for it is a control of the check of one
map, by the rule of `controls.partners`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from explain.quality.images import image_batches, same_picture
from explain.run.label_sets import LabelRun
from explain.run.number_run import NumbersRun
from explain.run.reader import RunData
from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError

TRIES = 8
"""After so many images that cannot be read, no further one is tried."""


@dataclass(frozen=True)
class OtherImages:
    """The other images of the run that has an image in `row`; a photo without a run has none."""

    run: RunData | None = None
    row: int = -1

    def find(self, classifier: Classifier, x: Tensor, target: int) -> tuple[Tensor, str]:
        """The next image of the run whose class is that of the map, `target`, as the network gets it
        (1, C, H, W), and a sentence that names it; after the last row comes the first. `x` (1, C, H, W): the
        image of the map. Copies and near duplicates of it are left out, and what cannot be read or is not the
        picture of the run any more. Raises UserError where there is none."""
        if self.run is None:
            raise UserError("This photo is not of a run.")
        run, unread, which = self.run, 0, _which(self.run, self.row, target)
        rows = _in_a_circle(_rows(run, self.row, target), self.row)
        for row in rows:
            if same_picture(run, self.row, row):
                continue
            image = _read(classifier, run, row)
            if image is not None and not torch.equal(image, x):  # runs of earlier versions hold no hashes
                name = f"{run.table.at[row, 'id']}{',' if which else ''}{which}"
                return image, f"The other image is {name}."
            unread += image is None
            if unread == TRIES:
                break
        if unread:
            images = counted(unread, "other image")
            raise UserError(f"Of {images} of the run{which}, none can be read where the run found it.")
        if rows:
            raise UserError(f"All other images of the run{which} are copies of this one.")
        raise UserError(f"The run has no other image{which}.")


def _by_class(run: RunData, row: int, target: int) -> bool:
    """Whether the other image is one of the map's class. Of numbers, and of a label that is asked for, maps
    of all images explain the same output (`sample.targets`), so that any other image is one."""
    if isinstance(run, LabelRun | NumbersRun):
        return False
    return not run.all_labels or run.shown_class(row) == target


def _rows(run: RunData, row: int, target: int) -> np.ndarray:
    """The rows (n,) with an answer that are of the map's class: that which `sample.targets` has for them."""
    known = run.ok.index.to_numpy()
    if not _by_class(run, row, target):
        return known
    if run.all_labels:
        return known[run.label_sets.prob[known].argmax(1) == target]
    return known[run.ok["pred"].to_numpy() == target]


def _which(run: RunData, row: int, target: int) -> str:
    """What images have in common that are of the map's class; '' where it is any image."""
    if not _by_class(run, row, target):
        return ""
    name = run.classes[target]
    return f" with {name} as the most probable label" if run.all_labels else f" predicted as {name}"


def _in_a_circle(rows: np.ndarray, row: int) -> list[int]:
    """Without `row` itself: those after it, then those before it."""
    return [int(r) for r in (*rows[rows > row], *rows[rows < row])]


def _read(classifier: Classifier, run: RunData, row: int) -> Tensor | None:
    """The image as the network gets it (1, C, H, W); None where it cannot be read."""
    found = [image for batch in image_batches(classifier, run, [row]) for _, image in batch]
    return found[0] if found else None
