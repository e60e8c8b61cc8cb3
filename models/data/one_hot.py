"""Labels that are one column of 0 and 1 per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from models.errors import UserError


def one_hot_columns(table: pd.DataFrame, besides: Sequence[str]) -> list[str]:
    """The columns, besides these, whose every cell is 0, 1 or empty."""
    return [str(name) for name in table.columns if name not in besides and _is_flag(table[name])]


def _is_flag(cells: pd.Series) -> bool:
    numbers = _numbers(cells)
    return bool(numbers.isin((0, 1)).any() and (numbers.isin((0, 1)) | cells.isna()).all())


def _numbers(cells: pd.Series) -> pd.Series:
    """NaN for what is no number; True and False, also as text, are 1 and 0."""
    if not pd.api.types.is_scalar(next(iter(cells.dropna()), 0)):
        return pd.Series(np.nan, cells.index)
    texts = cells.astype(object).map(lambda cell: str(cell).strip().lower())
    return pd.to_numeric(texts.replace({"true": "1", "false": "0"}), errors="coerce")


def one_hot_labels(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.Series:
    """The column that is 1, for each row that is not empty. Raises UserError where a row has no 1, or
    several."""
    ones = table[list(columns)].apply(_numbers)
    filled = ones[ones.notna().any(axis=1)]
    several, none = int((filled.sum(axis=1) > 1).sum()), int((filled.sum(axis=1) == 0).sum())
    if several or none:
        many = f"{several:,} of {len(filled):,} rows have several" if several else ""
        no = f"{none:,} of {len(filled):,} rows have none" if none else ""
        raise UserError(
            f"'{path}' has no column of labels, and of its {len(columns)} columns of 0 and 1 not exactly one "
            f"is 1 ({', '.join(filter(None, (many, no)))}), and Vitrine explains networks that choose one "
            f"class: choose one of {', '.join(map(str, table.columns[:12]))} with --label-col."
        )
    return filled.fillna(0).idxmax(axis=1).astype(object)
