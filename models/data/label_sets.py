"""Sets of labels in the cells of a column: lists, and names between separators."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.counts import counted
from models.data.labels import class_labels
from models.data.remote.location import Location
from models.errors import UserError
from models.outputs.task import MULTI, SINGLE

SEPARATORS = "|;"
LISTS = (list, tuple, np.ndarray)
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[+-]?\d+(?:\.\d*)?"""
_LIST = re.compile(rf"\[\s*(?:(?:{_ITEM})(?:(?:\s*,\s*|\s+)(?:{_ITEM}))*)?\s*\]")
"""A list as Python, or an array as NumPy writes it: ['a', 'b'] and ['a' 'b']."""
FLAGS = {"0", "1", "0.", "1.", "0.0", "1.0", "true", "false"}


@dataclass(frozen=True)
class RowLabels:
    """Labels of a table's rows. `names`: the class of each row that has one; of sets each label under the
    index of its row, which is there as often as the row has labels. `rows`: the index of the rows that say
    what they have; of sets also of those that have none. `how`: of sets, how they were read. `both`: of
    single labels that can be read as sets, both readings."""

    names: pd.Series
    rows: pd.Index
    how: str = ""
    both: str = ""

    @property
    def multi_label(self) -> bool:
        return bool(self.how)


@dataclass(frozen=True)
class SetReading:
    """How a cell is taken apart into labels: a list (`lists`: there are some), or names between `separators`;
    what is called as a class of the network (`known`) stays whole."""

    lists: bool
    separators: tuple[str, ...]
    known: frozenset[str]

    def parts(self, cell: Any) -> list[Any]:
        """The labels of a cell, without empty ones."""
        values = as_list(cell, self.known)
        if values is None:
            values = [cell]
            for separator in self.separators:
                values = [part for value in values for part in _apart(value, separator, self.known)]
        stripped = [value.strip() if isinstance(value, str) else value for value in values]
        return [value for value in stripped if not _is_empty(value)]

    def described(self, where: str = "cell") -> str:
        """'several in a cell, separated by '|''."""
        how = [f"separated by {' and '.join(map(repr, self.separators))}"] if self.separators else []
        how += ["as lists"] if self.lists else []
        return f"several in a {where}, {' or '.join(how)}" if how else f"one in each {where}, read as a set"


def column_labels(
    cells: pd.Series, column: str, path: Location, known: Sequence[str] = (), labels_as: str = ""
) -> RowLabels:
    """The labels in a column: one class a cell, or sets where cells show several, or `labels_as` says so; an
    empty cell is then a row with none of the labels.

    Raises UserError for measured numbers, objects and lists of 0 and 1, and for lists of several labels with
    `labels_as` single-label.
    """
    filled = cells.dropna()
    reading = None if labels_as == SINGLE else set_reading(filled, known, labels_as)
    if reading is None:
        names = class_labels(one_each(filled, column, path), column, path)
        return RowLabels(names, names.index, both=_both_readings(names, known) if labels_as else "")
    parts = [reading.parts(cell) for cell in filled]
    if why := no_names(parts):
        raise UserError(f"Column '{column}' of '{path}' holds {why}.")
    apart = pd.Series(parts, filled.index, dtype=object).explode().dropna()
    return RowLabels(class_labels(apart, column, path), cells.index, reading.described())


def _both_readings(names: pd.Series, known: Sequence[str]) -> str:
    """That texts of several labels are read as names of classes, and how they are read otherwise; empty where
    each is one label."""
    found = set_reading(names.unique(), known)
    if found is None:
        return ""
    sets = {name: found.parts(name) for name in names.unique()}
    joined = max(sets, key=lambda name: len(sets[name]))
    classes, labels = names.nunique(), len({label for parts in sets.values() for label in parts})
    return (
        f"as the task {SINGLE} each cell is one class, '{str(joined)[:40]}' too: "
        f"{counted(classes, 'class')}; as the task {MULTI} it is a set of {counted(labels, 'label')}, "
        f"{found.described()}"
    )


def set_reading(cells: Iterable[Any], known: Sequence[str] = (), labels_as: str = "") -> SetReading | None:
    """How cells hold several labels: some are lists, or names between '|' or ';' that other cells use too, or
    that are `known`. None where each is one label, and `labels_as` does not say multi-label."""
    names, lists, texts = frozenset(known), False, dict[str, None]()
    for cell in cells:
        if as_list(cell, names) is not None:
            lists = True
        elif not isinstance(cell, dict) and (text := str(cell).strip()):
            texts[text] = None
    separators = _separators(list(texts), names, labels_as == MULTI)
    return SetReading(lists, separators, names) if lists or separators or labels_as == MULTI else None


def as_list(cell: Any, known: frozenset[str] = frozenset()) -> list[Any] | None:
    """The values of a list, of an array, or of the text of one; None for other cells."""
    if isinstance(cell, LISTS):
        return list(cell.tolist() if isinstance(cell, np.ndarray) else cell)
    if not isinstance(cell, str) or not cell.strip().startswith("[") or cell.strip() in known:
        return None
    text = cell.strip()
    with suppress(ValueError, RecursionError):
        return found if isinstance(found := json.loads(text), list) else None
    if not _LIST.fullmatch(text):
        return None
    return [
        re.sub(r"\\(.)", r"\1", item[1:-1]) if item[0] in "'\"" else item for item in re.findall(_ITEM, text)
    ]


def one_each(cells: pd.Series, column: str, path: Location) -> pd.Series:
    """Cells of one class each: lists of one are their one value, and empty lists are left out. Raises
    UserError for lists of several values, and for objects."""
    if not any(isinstance(cell, (*LISTS, dict)) for cell in cells):
        return cells
    lists = [as_list(cell) if isinstance(cell, LISTS) else None for cell in cells]
    several = next((values for values in lists if values and len(values) > 1), None)
    if several is not None:
        raise UserError(
            f"Column '{column}' of '{path}' holds several labels in one cell ('{str(several)[:40]}'), and "
            f"data of the task {SINGLE} have one label per image: give another column with --label-col."
        )
    if (odd := next((cell for cell in cells if isinstance(cell, dict)), None)) is not None:
        raise UserError(f"Column '{column}' of '{path}' holds {_objects(odd)}.")
    firsts = [
        cell if values is None else (values or [None])[0] for cell, values in zip(cells, lists, strict=True)
    ]
    return pd.Series(firsts, cells.index, dtype=object).dropna()


def no_names(sets: Sequence[Sequence[Any]]) -> str:
    """Why the values of sets are no labels, and what to do; empty where they are."""
    for value in (value for values in sets for value in values):
        if not isinstance(value, str | int | float | np.generic):
            return _objects(value)
    lengths = {len(values) for values in sets}
    flags = len(lengths) == 1 and max(lengths) > 1
    if flags and all(str(value).strip().lower() in FLAGS for values in sets for value in values):
        return (
            f"{max(lengths)} values of 0 and 1 in each cell, and no names of the classes: give a table with "
            "one column of 0 and 1 for each class, or the names of an image's labels"
        )
    return ""


def _separators(texts: list[str], known: frozenset[str], wanted: bool) -> tuple[str, ...]:
    """What separates labels, in the order in which cells are taken apart. Where sets are `wanted`, the first
    of '|' and ';' that is there does, commas as others, and spaces between whole numbers."""
    found: list[str] = []
    for separator in SEPARATORS + ("," if wanted else ""):
        there = any(separator in text for text in texts if text not in known)
        first = wanted and there and not found and separator in SEPARATORS
        if first or (there and _separates(separator, texts, known)):
            found.append(separator)
            apart = dict.fromkeys(part for text in texts for part in _apart(text, separator, known))
            texts = [part for part in apart if part]
    numbers = wanted and all(re.fullmatch(r"\d+( +\d+)*", text) for text in texts)
    return (*found, " ") if numbers and any(" " in text for text in texts) else tuple(found)


def _separates(separator: str, texts: Sequence[str], known: frozenset[str]) -> bool:
    """Whether texts are names between separators: other texts use all the names of one, several use fewer
    names than there are texts, or all names of one are known."""
    apart = {text: _apart(text, separator, known) for text in texts}
    joined = [set(parts) - {""} for parts in apart.values() if len(parts) > 1]
    uses = Counter(part for parts in apart.values() for part in set(parts))
    shared = any(all(uses[part] > 1 for part in parts) or parts <= known for parts in joined)
    return shared or (len(joined) > 1 and len(uses) < len(texts))


def _apart(text: Any, separator: str, known: frozenset[str]) -> list[Any]:
    if not isinstance(text, str) or text.strip() in known:
        return [text]
    return [part.strip() for part in text.split(separator)]


def _is_empty(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and (pd.isna(value) or value == ""))


def _objects(value: object) -> str:
    return (
        f"objects ('{str(value)[:40]}'), and no names of classes: name the column of labels with --label-col"
    )
