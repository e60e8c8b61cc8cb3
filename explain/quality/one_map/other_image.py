"""Another image of the class of a map: the map of the same method for it is a control of the check of one
map, by the rule of `controls.partners`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explain.methods.inputs import OnProgress, ignore_progress
from explain.quality.images import near, read_image
from explain.run.image_stats import perceptual_hash
from explain.run.images import alike, hash_of
from explain.run.outputs.label_sets import LabelRun
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.classifier import Classifier
from models.counts import counted, plural
from models.errors import UserError

TRIES = 64
"""After so many images that cannot be read or are copies, no further one is read."""
NO_RUN = "'explain' has no run: in Inspect, an image of a run is compared with another one of it."
NOT_OF_RUN = (
    "This photo was not opened as an image of the run; one that is opened from the run is compared with "
    "another one of it."
)


@dataclass(frozen=True)
class OtherImages:
    """The other images of the run that has an image in `row`; a photo without a run has none, and
    `without_run` says why."""

    run: RunData | None = None
    row: int = -1
    without_run: str = NO_RUN

    def find(
        self,
        classifier: Classifier,
        x: Tensor,
        target: int,
        shown: Image.Image | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> tuple[Tensor, str]:
        """The next image of the run whose class is that of the map, `target`, as the network gets it
        (1, C, H, W), and a sentence that names it; after the last row comes the first. `x` (1, C, H, W): the
        image of the map, `shown` as a picture. Left out are copies and near duplicates of it, and of the
        picture that the run has in the row, and what cannot be read or is not the picture of the run any
        more. `on_progress` is called with 0 before each image is read, and may raise `Cancelled`. Raises
        UserError where there is none, or none among `TRIES`."""
        if self.run is None:
            raise UserError(self.without_run)
        run, rows, which = self.run, _rows(self.run, self.row, target), _which(self.run, self.row, target)
        pictures = hash_of(run, self.row), None if shown is None else perceptual_hash(shown)
        own = [one for one in pictures if one is not None]
        different = rows[~near(run, rows, own)]
        copies, unread = len(rows) - len(different), 0
        for row in _in_a_circle(different, self.row, TRIES):
            on_progress(0.0)
            found = read_image(classifier, run, row)
            if found is None:
                unread += 1
            elif torch.equal(found[0], x) or any(alike(found[1], one) for one in own):
                copies += 1  # of runs of earlier versions, which hold no hashes
            else:
                name = f"{run.table.at[row, 'id']}{',' if which else ''}{which}"
                return found[0], f"The other image is {name}."
        raise UserError(_none(len(rows), copies, unread, which))


def _none(count: int, copies: int, unread: int, which: str) -> str:
    """Why none of `count` other images is taken: how many are copies, how many could not be read, and how
    many were not tried."""
    if not count:
        return f"The run has no other image{which}."
    if copies == count:
        return f"All other images of the run{which} are copies of this one."
    others = count - copies - unread
    parts = [f"{copies:,} {plural(copies, 'is a copy', 'are copies')} of this one"] if copies else []
    if unread:
        changed = plural(unread, "is not the picture", "are not the pictures")
        parts.append(f"{unread:,} cannot be read, or {changed} of the run any more")
    parts += [f"{others:,} {plural(others, 'was', 'were')} not tried"] if others else []
    return f"Of {counted(count, 'other image')} of the run{which}, {'; '.join(parts)}."


def _by_class(run: RunData, row: int, target: int) -> bool:
    """Whether the other image is one of the map's class. Of numbers, and of a label that is asked for, maps
    of all images explain the same output (`sample.targets`), so that any other image is one."""
    if isinstance(run, LabelRun | NumbersRun):
        return False
    return not run.all_labels or run.shown_class(row) == target


def _rows(run: RunData, row: int, target: int) -> np.ndarray:
    """The other rows (n,) with an answer that are of the map's class: that which `sample.targets` has for
    them."""
    known = run.ok.index.to_numpy()
    if _by_class(run, row, target):
        if run.all_labels:
            known = known[run.label_sets.prob[known].argmax(1) == target]
        else:
            known = known[run.ok["pred"].to_numpy() == target]
    return known[known != row]


def _which(run: RunData, row: int, target: int) -> str:
    """What images have in common that are of the map's class; '' where it is any image."""
    if not _by_class(run, row, target):
        return ""
    name = run.classes[target]
    return f" with {name} as the most probable label" if run.all_labels else f" predicted as {name}"


def _in_a_circle(rows: np.ndarray, row: int, most: int) -> Iterator[int]:
    """At most so many: those after `row`, then those before it."""
    after = int(np.searchsorted(rows, row))
    return map(int, np.concatenate([rows[after:], rows[:after]])[:most])
