"""Columns of a table by which its images can be grouped."""

import numpy as np
import pandas as pd

MOST_COLUMNS, MOST_VALUES, FIFTHS = 24, 50, 5


def grouping_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The first `MOST_COLUMNS` columns that group images: float where every cell that is not empty is a
    number, otherwise text.

    Left out: columns of one value, columns of text that rarely repeats (names, ids: more than `MOST_VALUES`
    values, and more than half as many as rows), and columns of lists or bytes.
    """
    found = {str(name): _cells(values) for name, values in table.items() if _is_plain(values)}
    kept = {name: values for name, values in found.items() if _groups(values)}
    return pd.DataFrame(dict(list(kept.items())[:MOST_COLUMNS]), index=table.index)


def groups_in(values: pd.Series) -> list[str]:
    """The group of each row: its value, or its quintile where the column has more than `FIFTHS` different
    numbers. Empty cells are a group of their own."""
    if values.dtype.kind == "f" and values.nunique() > FIFTHS:
        numbers = values.to_numpy(float)
        edges = np.quantile(numbers[np.isfinite(numbers)], np.arange(1, FIFTHS) / FIFTHS)
        named = pd.Series(np.searchsorted(edges, numbers, side="right"), values.index)
    else:
        named = values
    return [str(name) if there else "" for name, there in zip(named, values.notna(), strict=True)]


def _is_plain(values: pd.Series) -> bool:
    """Whether the cells are single values, by the first one: not lists, arrays or files."""
    filled = values.dropna()
    return (
        len(filled) > 0 and pd.api.types.is_scalar(filled.iloc[0]) and not isinstance(filled.iloc[0], bytes)
    )


def _cells(values: pd.Series) -> pd.Series:
    words = values.dropna().astype(object).map(str)
    numbers = pd.to_numeric(words, errors="coerce")
    return (numbers.astype(float) if numbers.notna().all() else words).reindex(values.index)


def _groups(values: pd.Series) -> bool:
    different = values.nunique()
    return different > 1 and (values.dtype.kind == "f" or different <= max(MOST_VALUES, len(values) / 2))
