"""Boxes of objects in images, from a table: where an explanation should lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from models.classes.names import fold
from models.counts import counted
from models.data.tables.files import read_table
from models.data.tables.table import ID_COLUMNS, IMAGE_COLUMNS, LABEL_COLUMNS, guessed_column
from models.errors import UserError

SIDES = (
    ("left", "x1", "xmin", "x_min"),
    ("top", "y1", "ymin", "y_min"),
    ("right", "x2", "xmax", "x_max"),
    ("bottom", "y2", "ymax", "y_max"),
)
"""Names of the four columns, the usual one first."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """`table`: one row a box: `image` (an id of the run), `label` (empty: of whatever class), `left`, `top`,
    `right`, `bottom` in pixels of the upright picture. `unmatched`: rows whose image is not in the run."""

    table: pd.DataFrame
    unmatched: int = 0

    @cached_property
    def key(self) -> str:
        """A hash: equal boxes have equal keys."""
        text = self.table.sort_values(list(self.table.columns)).to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def _by_image(self) -> dict[str, pd.DataFrame]:
        return {str(name): rows for name, rows in self.table.groupby("image")}

    def mask(self, image: str, label: str, size: tuple[int, int]) -> np.ndarray | None:
        """The pixels of the boxes of an image of `size` (width, height), (height, width) bool: those of this
        label, and those without one. None where none lies in the image."""
        rows = self._by_image.get(image)
        if rows is None:
            return None
        rows = rows[(rows["label"] == "") | (rows["label"] == fold(label))]
        if not len(rows):
            return None
        made = np.zeros(size[::-1], bool)
        for left, top, right, bottom in rows[["left", "top", "right", "bottom"]].to_numpy(float):
            across, down = (max(0, round(low)) for low in (left, top))
            made[down : max(down + 1, round(bottom)), across : max(across + 1, round(right))] = True
        return made if made.any() else None  # boxes outside of the image


def read_boxes(path: Path, images: Sequence[str]) -> Boxes:
    """A CSV, JSON lines or Parquet table of boxes, several rows for an image with several: a column of images
    (paths as in the run, or names of files where these are unique), the columns left, top, right, bottom (or
    x1, y1, x2, y2; xmin, ymin, xmax, ymax) in pixels, and if boxes are of classes a column label. `images`:
    the ids of the run. Raises UserError for a table that lacks one of these, and for one of other images."""
    if not path.is_file():
        raise UserError(f"No file '{path}': give a table of boxes (.csv, .jsonl or .parquet).")
    table = read_table(path)
    names = _column(table, (*IMAGE_COLUMNS, *ID_COLUMNS), path)
    sides = {usual[0]: _column(table, usual, path) for usual in SIDES}
    label = guessed_column(table, LABEL_COLUMNS)
    made = pd.DataFrame({side: table[column] for side, column in sides.items()})
    made.insert(0, "label", "" if label is None else table[label].fillna("").astype(str).map(fold))
    made.insert(0, "image", table[names].astype(str).map(_matched(images)))
    known = made.dropna(subset=["image"])
    if not len(known):
        raise UserError(f"'{path}' has boxes of no image of the run, such as '{images[0]}': name these.")
    return Boxes(_checked(known.reset_index(drop=True), path), len(made) - len(known))


def _column(table: pd.DataFrame, usual: tuple[str, ...], path: Path) -> str:
    found = guessed_column(table, usual)
    if found is None:
        got = ", ".join(str(c) for c in table.columns[:12])
        raise UserError(
            f"'{path}' has the columns {got}, and none called {', '.join(usual[:4])}: boxes need image, "
            "left, top, right and bottom, in pixels."
        )
    return found


def _checked(boxes: pd.DataFrame, path: Path) -> pd.DataFrame:
    sides = [usual[0] for usual in SIDES]
    boxes[sides] = boxes[sides].apply(pd.to_numeric, errors="coerce")
    bad = ~np.isfinite(boxes[sides]).all(axis=1)
    bad |= (boxes["right"] <= boxes["left"]) | (boxes["bottom"] <= boxes["top"])
    if bad.any():
        first = ", ".join(f"{side} {boxes.loc[bad.idxmax(), side]:g}" for side in sides)
        raise UserError(
            f"'{path}' has {counted(int(bad.sum()), 'box', 'boxes')} without an area ({first}): right must "
            "be larger than left, and bottom than top."
        )
    return boxes


def _matched(images: Sequence[str]) -> dict[str, str]:
    """What may stand in the table -> the id: the id itself, its file name, and that without suffix, where
    these name one image alone."""
    found = dict[str, str]()
    for short in (lambda p: p.stem, lambda p: p.name):
        named = [short(PurePosixPath(image)) for image in images]
        counts = pd.Series(named).value_counts()
        found |= {n: image for n, image in zip(named, images, strict=True) if counts[n] == 1}
    return found | {image: image for image in images}
