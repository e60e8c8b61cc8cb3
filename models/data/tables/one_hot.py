"""Labels that are one column of 0 and 1 per class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.counts import counted, plural
from models.data.label_sets import RowLabels
from models.data.remote.location import Location
from models.errors import UserError
from models.outputs.task import MULTI, SINGLE

SHOWN = 6


def one_hot_columns(table: pd.DataFrame, besides: Sequence[str]) -> list[str]:
    """The columns, besides these, whose every cell is 0, 1 or empty."""
    return [str(name) for name in table.columns if name not in besides and _holds(table[name], (0, 1))]


def _holds(cells: pd.Series, values: Sequence[int]) -> bool:
    """Whether every cell is one of the values, or empty."""
    numbers = _numbers(cells)
    return bool(numbers.isin(values).any() and (numbers.isin(values) | cells.isna()).all())


def _numbers(cells: pd.Series) -> pd.Series:
    """NaN for what is no number; True and False, also as text, are 1 and 0."""
    if not pd.api.types.is_scalar(next(iter(cells.dropna()), 0)):
        return pd.Series(np.nan, cells.index)
    texts = cells.astype(object).map(lambda cell: str(cell).strip().lower())
    return pd.to_numeric(texts.replace({"true": "1", "false": "0"}), errors="coerce")


def one_hot_labels(
    table: pd.DataFrame, columns: Sequence[str], besides: Sequence[str], path: Location, labels_as: str = ""
) -> RowLabels:
    """The columns that are 1, for each row that is not empty: its class, where exactly one is 1 in every row;
    otherwise, or where `labels_as` says so, sets, in the order of the columns.

    Raises UserError where a row has no 1, or several, and `labels_as` is single-label; and for sets beside a
    column of -1, 0 and 1.
    """
    ones = table[list(columns)].apply(_numbers)
    filled = ones[ones.notna().any(axis=1)]
    one_each = bool((filled.sum(axis=1) == 1).all())
    if one_each and labels_as != MULTI:
        return RowLabels(filled.fillna(0).idxmax(axis=1).astype(object), filled.index)
    if labels_as == SINGLE:
        raise UserError(_not_one_each(table, filled, path))
    _must_not_be_unknown(table, [*besides, *columns], path)
    rows, found = np.nonzero(filled.fillna(0).to_numpy() == 1)
    names = pd.Series(np.array(columns, object)[found], filled.index[rows], dtype=object)
    shown = f"{', '.join(columns[:SHOWN])}{' ...' * (len(columns) > SHOWN)}"
    empty = int(filled.isna().to_numpy().sum())
    unknown = f", {empty:,} empty cells read as 0" if empty else ""
    return RowLabels(names, filled.index, f"{counted(len(columns), 'column')} of 0 and 1 ({shown}){unknown}")


def _not_one_each(table: pd.DataFrame, filled: pd.DataFrame, path: Location) -> str:
    several, none = int((filled.sum(axis=1) > 1).sum()), int((filled.sum(axis=1) == 0).sum())
    many = (
        f"{several:,} of {counted(len(filled), 'row')} {plural(several, 'has', 'have')} several"
        if several
        else ""
    )
    no = f"{none:,} of {counted(len(filled), 'row')} {plural(none, 'has', 'have')} none" if none else ""
    return (
        f"'{path}' has no column of labels, and of its {counted(len(filled.columns), 'column')} of 0 and 1 "
        f"not exactly one is 1 ({', '.join(filter(None, (many, no)))}), and data of the task {SINGLE} have "
        f"one label an image: choose one of {', '.join(map(str, table.columns[:12]))} with --label-col."
    )


def _must_not_be_unknown(table: pd.DataFrame, besides: Sequence[str], path: Location) -> None:
    """Raises UserError for a column of -1, 0 and 1, as CheXpert marks what is uncertain: without it the
    labels would be those of the other columns alone."""
    odd = [name for name in table.columns if name not in besides and _holds(table[name], (-1, 0, 1))]
    if odd:
        raise UserError(
            f"'{path}' has columns of 0 and 1, and column '{odd[0]}' also holds -1: write 0 or 1 instead, or "
            "leave the cell empty (it is read as 0); leave the column out if it is no label."
        )
