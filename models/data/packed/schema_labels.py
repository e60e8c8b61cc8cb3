"""Labels of a Parquet column by the names of classes that Hugging Face's `datasets` writes into the schema.

The layout: `datasets.Features.arrow_schema`: a `ClassLabel` has the names of its numbers, and a `Sequence` or
`List` of them holds the numbers of several classes.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from models.counts import counted
from models.data.label_sets import LISTS, RowLabels, SetReading, column_labels, one_each
from models.data.labels import distinct
from models.data.remote.location import Location
from models.errors import UserError
from models.outputs.task import MULTI, SINGLE

HIDDEN = -1  # the number of no label, as in hidden test parts


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """What the schema calls the numbers of a column of `ClassLabel`, or of lists of them; () where it does
    not."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = about["info"]["features"][column]
        if isinstance(feature, list):
            feature = feature[0]
        elif str(feature.get("_type")).endswith(("Sequence", "List")):
            feature = feature["feature"]
        names = feature["names"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return ()
    return distinct([str(name) for name in names]) if isinstance(names, list) else ()


def schema_labels(
    cells: pd.Series, names: tuple[str, ...], path: Location, known: Sequence[str] = (), labels_as: str = ""
) -> RowLabels:
    """The labels of a column; `names`: of its numbers, by the schema. Rows of the number -1 have no label.

    Raises UserError for a number without a name, and as `column_labels`.
    """
    column, filled = str(cells.name), cells.dropna()
    lists = len(filled) > 0 and all(isinstance(cell, LISTS) for cell in filled)
    if lists and names and labels_as == SINGLE:
        filled, lists = one_each(filled, column, path), False
    apart = filled.explode().dropna() if lists else filled
    numbers = _numbers(apart)
    if not names or numbers is None:
        return column_labels(cells, column, path, known, labels_as)
    hidden = numbers.index[(numbers == HIDDEN).to_numpy()]
    numbers = numbers[numbers != HIDDEN]
    if len(odd := numbers[(numbers < 0) | (numbers >= len(names)) | (numbers % 1 != 0)]):
        raise UserError(
            f"'{path}' has the label {odd.iloc[0]}, and its schema names {counted(len(names), 'class')}."
        )
    named = numbers.map(lambda value: names[int(value)])
    if not lists and labels_as != MULTI:
        return RowLabels(named, named.index)
    rows = cells.index[~cells.index.isin(hidden) | cells.index.isin(named.index)]
    return RowLabels(named, rows, SetReading(bool(lists), (), frozenset()).described())


def _numbers(values: "pd.Series[Any]") -> "pd.Series[Any] | None":
    """The values, where all are numbers."""
    if values.dtype.kind in "iuf":
        return values
    plain = [isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values]
    return pd.to_numeric(values) if len(plain) and all(plain) else None
