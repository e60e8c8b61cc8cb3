"""Check that labels of a table are names of classes, and no measurements."""

import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from models.data.remote.location import Location
from models.errors import UserError


def class_labels(cells: pd.Series, column: str, path: Location) -> pd.Series:
    """Cells of one label each (without empty ones) as names of classes: whole numbers, of a float column or
    as text, lose their '.0', and surrounding spaces are removed.

    Raises UserError for measured numbers.
    """
    whole = cells.dtype.kind == "f" and bool((cells == cells.round()).all())
    try:
        names = (cells.astype("int64") if whole else cells).astype(str).str.strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"The column '{column}' of '{path}' holds bytes that are no text: name the column of classes "
            "with --label-col."
        ) from error
    if measured(names):
        raise UserError(
            f"Column '{column}' of '{path}' holds measured numbers ({names.iloc[0]} ...), not classes: "
            "name the column of classes with --label-col, write classes as names ('dose 0.5'), or read "
            "numbers with --task regression."
        )
    are_whole = all(re.fullmatch(r"[+-]?[0-9]+(\.0*)?", name) for name in names.unique())
    return names.str.replace(r"\.0*$", "", regex=True) if are_whole else names


def measured(names: pd.Series) -> bool:
    """Whether all names are numbers, and some are not whole: also where few are different."""
    numbers = pd.to_numeric(names, errors="coerce")
    return not numbers.isna().any() and bool((numbers != numbers.round()).any())


def natural(label: str) -> tuple[bool, float, str]:
    """The order of classes that have no order of their own: whole numbers by value, then names."""
    whole = re.fullmatch(r"-?[0-9]{1,300}", label)
    return (False, float(label), "") if whole else (True, 0.0, label)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes in the order of their numbers, where a name that occurs twice gets its number:
    'crane (134)' and 'crane (517)' are two classes."""
    count = Counter(names)
    return tuple(f"{name} ({i})" if count[name] > 1 else name for i, name in enumerate(names))
