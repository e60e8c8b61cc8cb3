"""Check that a table's label column holds classes: one name per cell, and no measurements."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from models.errors import UserError

SEPARATORS = "|;"


def class_labels(cells: pd.Series, column: str, path: Path) -> pd.Series:
    """Cells (without empty ones) as names of classes: whole numbers, of a float column or as text, lose their
    '.0', and surrounding spaces are removed.

    Raises UserError for several labels in a cell, and for measured numbers.
    """
    odd = next((cell for cell in cells if isinstance(cell, list | tuple | np.ndarray | dict)), None)
    if odd is not None:
        raise UserError(_several(column, path, odd))
    whole = cells.dtype.kind == "f" and bool((cells == cells.round()).all())
    try:
        names = (cells.astype("int64") if whole else cells).astype(str).str.strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"The column '{column}' of '{path}' holds bytes that are no text: name the column of classes "
            "with --label-col."
        ) from error
    if (cell := several_labels(names.unique().tolist())) is not None:
        raise UserError(_several(column, path, cell))
    if measured(names):
        raise UserError(
            f"Column '{column}' of '{path}' holds measured numbers ({names.iloc[0]} ...), not classes: "
            "name the column of classes with --label-col, write classes as names ('dose 0.5'), or train on "
            "valence and arousal with --task affect."
        )
    are_whole = all(re.fullmatch(r"[+-]?[0-9]+(\.0*)?", name) for name in names.unique())
    return names.str.replace(r"\.0*$", "", regex=True) if are_whole else names


def several_labels(names: Sequence[str]) -> str | None:
    """A cell that holds several labels (a JSON list, or names between '|' or ';' that other cells use too);
    None where there is none."""
    for name in names:
        if name.startswith("[") and name.endswith("]"):
            with suppress(ValueError):
                if isinstance(json.loads(name.replace("'", '"')), list):
                    return name
    for separator in SEPARATORS:
        apart = {name: [part.strip() for part in name.split(separator)] for name in names}
        joined = [name for name, parts in apart.items() if len(parts) > 1]
        uses = Counter(part for parts in apart.values() for part in set(parts))
        shared = [name for name in joined if all(uses[part] > 1 for part in apart[name])]
        if shared or (len(joined) > 1 and len(uses) < len(names)):
            return (shared or joined)[0]
    return None


def measured(names: pd.Series) -> bool:
    """Whether all names are numbers, and some are not whole: also where few are different."""
    numbers = pd.to_numeric(names, errors="coerce")
    return not numbers.isna().any() and bool((numbers != numbers.round()).any())


def _several(column: str, path: Path, cell: object) -> str:
    shown = str(cell)[:40]
    return (
        f"Column '{column}' of '{path}' holds several labels in one cell ('{shown}'), and Vitrine explains "
        "networks that choose one class: "
        "give a column with one label an image with --label-col."
    )


def natural(label: str) -> tuple[bool, float, str]:
    """The order of classes that have no order of their own: whole numbers by value, then names."""
    whole = re.fullmatch(r"-?[0-9]{1,300}", label)
    return (False, float(label), "") if whole else (True, 0.0, label)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes in the order of their numbers, where a name that occurs twice gets its number:
    'crane (134)' and 'crane (517)' are two classes."""
    count = Counter(names)
    return tuple(f"{name} ({i})" if count[name] > 1 else name for i, name in enumerate(names))
