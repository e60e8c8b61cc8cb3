"""Labels of the keys of tar shards: texts, numbers, and lists of these."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from models.counts import be, counted
from models.data.label_sets import as_list, no_names, set_reading
from models.data.labels import distinct
from models.data.remote.location import Location, size_of
from models.data.source import Item
from models.data.tables.number_columns import find_numbers
from models.errors import UserError
from models.outputs.task import REGRESSION, SINGLE

NAMES = ("classes.txt", "classnames.txt", "labels.txt")
"""Files beside the shards that name the classes, one a line, in the order of the numbers in `.cls`."""
LABEL_KEYS = ("label", "class", "label_name", "class_name", "category", "target", "cls", "labels")
MAX_TEXT = 1_000_000  # bytes of a file that holds a label
Value = str | int | float | list[Any]
"""A label as a key gives it: a name (empty text: none), a number, or a list of these."""


@dataclass(frozen=True)
class KeyLabels:
    """`names`: of each key its class, or its set of them; None for a key without a label. `how`: of sets, how
    they were read. `numbers`: of a regression, those of each key that has a name, which is then one text of
    them, and `outputs`, what they are called."""

    names: list[str | list[str] | None]
    how: str = ""
    outputs: tuple[str, ...] = ()
    numbers: Mapping[int, Sequence[float]] = field(default_factory=dict)

    @property
    def multi_label(self) -> bool:
        return bool(self.how)

    @property
    def used(self) -> set[str]:
        """All classes that some key has; of a regression its outputs."""
        if self.outputs:
            return set(self.outputs)
        return {name for of in self.names if of is not None for name in ([of] if isinstance(of, str) else of)}

    def item(self, name: str, index: int, classes: Sequence[str]) -> Item:
        """The item `name` with the labels of a key that has some."""
        of = self.names[index]
        if self.outputs:
            return Item.of_numbers(name, self.numbers[index])
        return Item(name, of) if isinstance(of, str) else Item.of_set(name, of or (), classes)


def key_labels(
    values: Sequence[tuple[Location, Value | None]],
    names: Sequence[str],
    known: Sequence[str],
    labels_as: str,
) -> KeyLabels:
    """The labels of keys from (shard, value); `names`: of the numbers, where the classes have names. None is
    no label; an empty text or list is none of the labels where keys have sets, and otherwise no label.

    Raises UserError for a number without a name, for measured numbers, and for lists of 0 and 1.
    """
    for file, value in values:
        apart = value if isinstance(value, list) else [value]
        if any(isinstance(one, float) and not one.is_integer() for one in apart):
            raise UserError(
                f"'{file}' holds the label {str(value)[:40]}, which is no class: name another key with "
                f"--label-col, or read numbers with --task {REGRESSION}."
            )
    there = [value for _, value in values if value is not None]
    named = (*names, *map(str, range(len(names))), *known)
    reading = None if labels_as == SINGLE else set_reading(there, named, labels_as)
    if reading is None:
        return KeyLabels([_one(value, names, file) for file, value in values])
    sets = [None if value is None else _numbers(value, reading.parts(value)) for _, value in values]
    if why := no_names([of for of in sets if of is not None]):
        raise UserError(f"'{values[0][0]}' holds {why}.")
    return KeyLabels(
        [
            None if of is None else [_named(part, names, file) for part in of]
            for (file, _), of in zip(values, sets, strict=True)
        ],
        reading.described("key"),
    )


def key_numbers(
    values: Sequence[tuple[Location, Value | None]], label: str | None, labels_as: str
) -> KeyLabels | None:
    """The numbers of keys, where they are asked for or some are not whole; None where labels are classes.
    `label`: what they are called, several with commas. Raises UserError as `find_numbers`."""
    if not values:
        return None
    column = label or "number"
    cells = pd.Series([value for _, value in values], dtype=object, name=column)
    found = find_numbers(cells.to_frame(), column, None, (), values[0][0], labels_as)
    if found is None:
        return None
    rows = dict(zip(found.values.index, found.values.to_numpy().tolist(), strict=True))
    parts = [part.strip() for part in column.split(",")]
    outputs = tuple(map(str, found.values.columns))
    names = [Item.of_numbers("", rows[i]).label if i in rows else None for i in range(len(values))]
    return KeyLabels([*names], "", tuple(parts) if len(parts) == len(outputs) else outputs, rows)


def text_value(text: str) -> Value:
    """Digits are a number."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else text


def json_value(text: str, wanted: str | None, key: str) -> Value | None:
    """The label in a JSON object, under the key `wanted` (several with commas: a list) or one of
    `LABEL_KEYS`; None where there is none. Raises UserError for objects."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(about, dict):
        return None
    several = [part.strip() for part in (wanted or "").split(",")]
    if wanted not in about and len(several) > 1:
        return [about.get(part) for part in several]
    value = next((about[k] for k in ([wanted] if wanted else LABEL_KEYS) if about.get(k) is not None), None)
    if any(_is_odd(one) for one in (value if isinstance(value, list) else [value])):
        raise UserError(
            f"Key '{key}' has the label {str(value)[:40]}, which is no class: name another key with "
            "--label-col."
        )
    if isinstance(value, float | int):
        return int(value) if float(value).is_integer() else value
    return str(value).strip() if isinstance(value, str) else value


def class_names_beside(*folders: Location) -> tuple[str, ...]:
    """The names in one of `NAMES` in these folders, in their order; () where there is none. Raises UserError
    for an empty line between names."""
    path = next((folder / name for folder in folders for name in NAMES if (folder / name).is_file()), None)
    if path is None or (size_of(path) or 0) > MAX_TEXT:
        return ()
    lines = [line.strip() for line in path.read_text("utf-8-sig", "replace").rstrip().splitlines()]
    if "" in lines:
        raise UserError(f"Line {lines.index('') + 1} of '{path}' is empty: each line names a class.")
    return distinct(lines)


def _one(value: Value | None, names: Sequence[str], file: Location) -> str | None:
    """The class of a key with one; None for a key without a label. Raises UserError for several."""
    values = as_list(value) if isinstance(value, list) else [value]
    if values and len(values) > 1:
        raise UserError(
            f"'{file}' holds several labels for one key ('{str(value)[:40]}'), and data of the task {SINGLE} "
            "have one label per image: name another key with --label-col."
        )
    first = values[0] if values else None
    return None if first is None or first == "" else _named(first, names, file)


def _numbers(value: Value, parts: Sequence[Any]) -> list[Any]:
    """The parts of a value, with digits between separators as numbers; in a list, text stays a name."""
    if as_list(value) is None:
        return [text_value(part) if isinstance(part, str) else part for part in parts]
    return [int(part) if isinstance(part, float) and part.is_integer() else part for part in parts]


def _is_odd(value: Any) -> bool:
    return isinstance(value, list | dict)


def _named(label: str | int | float, names: Sequence[str], file: Location) -> str:
    """A number's name, where the classes have names. Raises UserError where it has none."""
    if not names:
        return str(label)
    if isinstance(label, str) and label in names:
        return label
    if isinstance(label, int) and label < len(names):
        return names[label]
    raise UserError(
        f"'{file}' has the label '{str(label)[:40]}', and {counted(len(names), 'name')} {be(len(names))} "
        f"beside it: labels are these names, or numbers from 0 to {len(names) - 1}; correct the file of "
        "names, or move it away."
    )
