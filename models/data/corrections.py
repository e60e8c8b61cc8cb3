"""Corrected labels, applied to a set of images."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.classes.names import find_class
from models.counts import be, counted
from models.data.label_sets import SEPARATORS, SetReading
from models.data.source import DerivedSource, ImageSource, Item, joined
from models.data.tables.files import read_table
from models.errors import UserError
from models.files.csv_files import unquoted
from models.program import typed


@dataclass(frozen=True)
class Corrections:
    """`labels`: (data set's name, image) -> the right label, or the cell of a set of labels or of numbers;
    empty where the image is left out; of several rows of an image the last counts. The name is empty where
    the file names no data set: the row then applies to every set that has the image."""

    file: str
    labels: dict[tuple[str, str], str]

    @property
    def names(self) -> list[str]:
        """Names of the data sets that are corrected."""
        return sorted({name for name, _ in self.labels if name})


def read_corrections(path: Path) -> Corrections:
    """A table with columns `image` and `label` (of several labels per image a list in JSON, or names between
    '|' or ';'; of numbers one number, or an object in JSON), and `data` as `ImageSource.name`, as the command
    `notes` writes it.

    Raises UserError for a missing file or column, and for a table without rows.
    """
    if not path.is_file():
        command = typed(["notes", "RUN", "--labels", str(path)])
        raise UserError(f"No file '{path}': write corrected labels with {command}.")
    table = read_table(path, words=True)
    if missing := [name for name in ("image", "label") if name not in table]:
        raise UserError(
            f"'{path}' has no column '{missing[0]}': corrected labels are a table with columns image, "
            "label and data."
        )
    columns = [
        table[name].astype(object).where(table[name].notna(), "").map(str)
        if name in table
        else [""] * len(table)
        for name in ("data", "image", "label")
    ]
    # what `notes` and spreadsheets write so that no cell is a formula
    labels = {
        (unquoted(data), unquoted(image)): unquoted(label.strip())
        for data, image, label in zip(*columns, strict=True)
        if image
    }
    if not labels:
        raise UserError(f"'{path}' has no rows: there is nothing to correct, leave --labels out.")
    return Corrections(path.name, labels)


class Corrected(DerivedSource):
    """A source with some labels replaced and some images left out, under the same name. `changed` and
    `left_out` count them, `summary` is one line about both; `found`: the corrections of its images. Raises
    UserError for a class that the source lacks, and where no image is left."""

    def __init__(self, source: ImageSource, corrections: Corrections):
        fitting = [
            [key for name in names_of(source.name) if (key := (name, item.id)) in corrections.labels]
            for item in source.items
        ]
        text = [corrections.labels[keys[0]] if keys else None for keys in fitting]
        self.found = {key for keys in fitting for key in keys}
        super().__init__(source, np.array([i for i, label in enumerate(text) if label != ""], int))
        if not len(self.kept):
            raise UserError(
                f"{corrections.file} leaves out every image of {source.name}: correct some of the labels "
                "instead."
            )
        before = [source.items[i] for i in self.kept]
        self.items = [
            item if (label := text[i]) is None else self._item(item, label, corrections.file)
            for i, item in zip(self.kept, before, strict=True)
        ]
        self.left_out = len(source) - len(self.kept)
        self.changed = sum(new != old for new, old in zip(self.items, before, strict=True))
        out = f", {counted(self.left_out, 'image')} left out" if self.left_out else ""
        what = ("label corrected", "labels corrected")
        if self.multi_label:
            what = ("image with corrected labels", "images with corrected labels")
        elif self.regression:
            what = ("image with corrected numbers", "images with corrected numbers")
        self.summary = f"{counted(self.changed, *what)}{out} by {corrections.file}"
        self.note = joined(self.recounted(), self.summary)

    @property
    def differs(self) -> bool:
        return bool(self.changed or self.left_out)

    def _item(self, item: Item, cell: str, file: str) -> Item:
        """With the label, the set of labels, or the numbers of a cell."""
        if self.regression:
            return Item.of_numbers(item.id, self._numbers(item, cell, file))
        if not self.multi_label:
            return Item(item.id, self._class(cell, file))
        parts = SetReading(True, tuple(SEPARATORS), frozenset(self.classes)).parts(cell)
        return Item.of_set(item.id, [self._class(str(part), file) for part in parts], self.classes)

    def _numbers(self, item: Item, cell: str, file: str) -> list[float]:
        """Those of the image, with the right ones of a cell: one number, a JSON list of all, or a JSON object
        of some by their names."""
        numbers = list(item.numbers or ())
        try:
            right = json.loads(cell)
        except (ValueError, RecursionError):
            right = None
        if isinstance(right, int | float) and len(numbers) == 1:
            right = [right]
        if isinstance(right, dict):
            for name, value in right.items():
                numbers[self.classes.index(self._class(name, file))] = value
        elif isinstance(right, list) and len(right) == len(numbers):
            numbers = right
        else:
            numbers = []
        if not numbers or not all(_is_finite(number) for number in numbers):
            raise UserError(
                f"{file} has '{cell[:40]}' as the numbers of image '{item.id[:60]}': write a number, or "
                f"{json.dumps({self.classes[0]: 31.5})} where an image has several; leave the cell empty to "
                "leave the image out."
            )
        return numbers

    def _class(self, label: str, file: str) -> str:
        """The source's own spelling of a class."""
        if (found := find_class(label, self.classes)) is not None:
            return self.classes[found]
        what = "number" if self.regression else "class"
        raise UserError(
            f"{file} names {what} '{label[:60]}', which {self.name} lacks: it has "
            f"{', '.join(self.classes[:10])}. "
            "Write one of these, or leave the label empty to leave the image out."
        )


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def corrected(source: ImageSource, corrections: Corrections) -> ImageSource:
    """The source with its corrections: `corrected(open_data(...), read_corrections(path))` is what `run
    --labels` takes.

    Images, order, name, root and classes stay, without the images that are left out; `note` counts the
    changes. Raises UserError where no correction applies.
    """
    made = Corrected(source, corrections)
    made.note = joined(made.note, must_fit([made], corrections))
    return made


def must_fit(made: Sequence[Corrected], corrections: Corrections) -> str:
    """One line on how many corrections name images that these sources lack, or empty text; corrections of
    other data are not counted.

    Raises UserError where none is about an image of theirs: labels must not seem corrected when they are
    not.
    """
    found = set().union(*(source.found for source in made))
    if not found:
        of = ", ".join(corrections.names) or "no data set by name"
        raise UserError(
            f"{corrections.file} corrects nothing here: it is about {of}, the data is "
            f"{', '.join(source.name for source in made)}, "
            "and has none of its images. Write it from a run of this data, or leave --labels out."
        )
    about = {name for source in made for name in names_of(source.name)}
    lost = sum(name in about for name, _ in corrections.labels.keys() - found)
    return f"{counted(lost, 'image')} of {corrections.file} {be(lost)} not there" if lost else ""


def names_of(name: str) -> list[str]:
    """The names under which a source may be corrected: its own, that of the data set it is a split of (photos
    of photos/train: their images have the same names), and none."""
    return list(dict.fromkeys([name, name.rpartition("/")[0], ""]))
