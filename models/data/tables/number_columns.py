"""Columns of a table that hold a number for each image, as ages, scores or coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.counts import counted
from models.data.label_sets import as_list
from models.data.labels import measured
from models.data.remote.location import Location
from models.errors import UserError
from models.measures.affect import AXES
from models.outputs.task_names import REGRESSION, SINGLE

MISSING = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>")
"""What stands for an empty cell among numbers, in small letters."""
UNCERTAIN = -2.0
"""How AffectNet writes a valence or an arousal in [-1, 1] that nobody knows."""
SHOWN = 6
MOSTLY = 0.1
"""A column is one of numbers if at most this fraction of its cells are none."""
HEAD = 100  # cells that are looked at first


@dataclass(frozen=True, eq=False)
class RowNumbers:
    """`values`: the rows that have a finite number in each column, under the names of the outputs, float64;
    `columns`: those that they are from; `note`: how a number is read that stands for none, or empty
    text."""

    values: pd.DataFrame
    columns: list[str]
    note: str = ""

    @property
    def described(self) -> str:
        shown = ", ".join(f"'{name}'" for name in self.columns[:SHOWN])
        more = " ..." if len(self.columns) > SHOWN else ""
        return f"numbers from column{'s' * (len(self.columns) > 1)} {shown}{more}"


def find_numbers(
    table: pd.DataFrame,
    wanted: str | None,
    usual: str | None,
    besides: Sequence[str],
    path: Location,
    labels_as: str = "",
) -> RowNumbers | None:
    """The numbers of a table: of the columns that `--label-col` names (`wanted`, several with commas), or of
    the `usual` one. None where they are labels of classes: where `labels_as` is another task than regression,
    or it is empty and no cell is a measured number, one that is not whole. `besides`: columns that are no
    labels.

    Raises UserError where a column of a regression holds no numbers, or is not there."""
    if labels_as not in ("", REGRESSION):
        return None
    columns = _wanted(table, wanted, usual, besides, path, labels_as)
    if not columns:
        return None
    if labels_as == "" and not _are_measured(table[columns]):
        _require_numbers_alone(table[columns], path)
        if len(columns) > 1:
            raise UserError(
                f"Columns {', '.join(columns[:SHOWN])} of '{path}' hold no measured numbers: read them as "
                f"numbers with --task {REGRESSION}, or name one column of classes with --label-col."
            )
        return None
    numbers, names = _numbers(table, columns, path)
    numbers.columns = pd.Index(names)
    numbers, note = _without_uncertain(numbers)
    known = numbers[np.isfinite(numbers.to_numpy()).all(1)]
    if not len(known):
        first = next(iter(table[columns[0]].dropna()), "")
        raise UserError(
            f"'{path}' has no row with a number in {' and '.join(columns[:SHOWN])} (first: "
            f"'{str(first)[:40]}'): name the columns of numbers with --label-col, or leave --task "
            f"{REGRESSION} out."
        )
    return RowNumbers(known, columns, note)


def _wanted(
    table: pd.DataFrame,
    wanted: str | None,
    usual: str | None,
    besides: Sequence[str],
    path: Location,
    labels_as: str,
) -> list[str]:
    """Names of columns; an exact name comes before one that is taken apart at its commas."""
    there = [str(name) for name in table.columns]
    if wanted in there:
        return [str(wanted)]
    if wanted:
        parts = [part.strip() for part in wanted.split(",") if part.strip()]
        lost = [part for part in parts if part not in there]
        if lost and (labels_as == REGRESSION or len(parts) > 1):
            shown = ", ".join(there[:12])
            raise UserError(f"'{path}' has no column '{lost[0]}': choose from {shown} with --label-col.")
        return [] if lost else parts
    if labels_as == REGRESSION and set(AXES) <= set(there):
        return list(AXES)
    if usual:
        return [usual]
    if labels_as != REGRESSION:
        return []
    found = [name for name in there if name not in besides and _numeric(table[name]).notna().any()]
    if len(found) != 1:
        shown = ", ".join(found[:12]) or "none"
        raise UserError(
            f"'{path}' has {counted(len(found), 'column')} of numbers ({shown}): name those of the task "
            f"{REGRESSION} with --label-col, several with commas."
        )
    return found


def _numbers(table: pd.DataFrame, columns: Sequence[str], path: Location) -> tuple[pd.DataFrame, list[str]]:
    """A column for each number, NaN where a cell has none, and their names: lists of one column are
    numbered."""
    if len(columns) > 1 or not any(as_list(cell) is not None for cell in table[columns[0]].dropna()):
        return table[list(columns)].apply(_numeric), list(columns)
    name = columns[0]
    cells = [as_list(cell) for cell in table[name]]
    sizes = {len(cell) for cell in cells if cell}
    if len(sizes) != 1:
        raise UserError(
            f"Column '{name}' of '{path}' holds lists of {' and '.join(map(str, sorted(sizes)))} values: a "
            "regression needs the same number of them for each image."
        )
    (size,) = sizes
    rows = [cell if cell and len(cell) == size else [None] * size for cell in cells]
    apart = pd.DataFrame(rows, table.index, dtype=object)
    names = [name] if size == 1 else [f"{name} {k}" for k in range(size)]
    return apart.apply(_numeric), names


def _numeric(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """float64; NaN for what is no number."""
    if cells.dtype.kind in "iuf":
        return cells.astype(float)
    texts = cells.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    plain = texts.map(lambda cell: isinstance(cell, str | int | float | np.number) and cell is not True)
    return pd.to_numeric(texts.where(plain & texts.notna()), errors="coerce").astype(float)


def _are_measured(table: pd.DataFrame) -> bool:
    """Whether every cell that is filled is a number, or as many numbers as the others, and one of them is not
    whole."""
    columns = [table[name].dropna() for name in table.columns]
    if not all(_numbers_alone(cells.head(HEAD)) is not None for cells in columns):
        return False  # most labels are words: the rest need not be read
    found = [_numbers_alone(cells) for cells in columns]
    known = [cells for cells in found if cells is not None and len(cells)]
    return len(known) == len(found) > 0 and measured(pd.concat(known))


def _require_numbers_alone(table: pd.DataFrame, path: Location) -> None:
    """Raises UserError for a column of measured numbers among which a few cells are none: whether these are
    mistakes, or all are names of classes, cannot be known."""
    for name in table.columns:
        texts = table[name].dropna().map(str)
        if pd.to_numeric(texts.head(HEAD), errors="coerce").isna().mean() > 0.5:
            continue  # most labels are words: the rest need not be read
        kept = texts[[text.strip().lower() not in MISSING for text in texts]]
        values = pd.to_numeric(kept, errors="coerce")
        odd = kept[values.isna()]
        if 0 < len(odd) <= MOSTLY * len(kept) and measured(kept[values.notna()]):
            shown = ", ".join(f"'{cell[:20]}'" for cell in odd.head(3))
            raise UserError(
                f"Column '{name}' of '{path}' holds measured numbers, and {len(odd):,} of {len(kept):,} "
                f"cells that are none ({shown}): read it with --task {REGRESSION}, which leaves these out, "
                f"or as classes with --task {SINGLE}."
            )


def _numbers_alone(cells: "pd.Series[Any]") -> "pd.Series[Any] | None":
    """The numbers of filled cells, as texts or floats, without what stands for an empty cell; None where some
    are none, or lists differ in length."""
    if cells.dtype.kind in "iuf":
        return cells.astype(float)
    lists = cells.map(lambda cell: [cell] if (made := as_list(cell)) is None else made)
    if len({len(cell) for cell in lists if cell}) > 1:  # as sets of labels
        return None
    texts = lists.explode().dropna().map(str)
    kept = texts[[text.strip().lower() not in MISSING for text in texts]]
    return None if pd.to_numeric(kept, errors="coerce").isna().any() else kept


def _without_uncertain(numbers: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """NaN in place of -2 in valence and arousal that are otherwise in [-1, 1], and a note."""
    axes = [name for name in numbers.columns if str(name).lower() in AXES]
    values = numbers[axes]
    odd = values == UNCERTAIN
    if not odd.to_numpy().any() or not (values[~odd].abs().fillna(0) <= 1).to_numpy().all():
        return numbers, ""
    note = f"-2 is read as an unknown {' or '.join(map(str, axes))}"
    return numbers.assign(**{str(name): values[name].mask(odd[name]) for name in axes}), note
