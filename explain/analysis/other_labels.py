"""Columns of the data that are labels of its images: votes of people, or another labeling.

They say what people see in an image. They are no mark in its picture, and no kind of image that one could
collect more of: what to try says nothing of them.
"""

import pandas as pd

from explain.run.reader import RunData
from models.classes.names import find_class
from models.data.tables.votes import ENTROPY, SECOND
from models.errors import UserError

MOSTLY = 0.8  # of a column's values that are names of classes


def other_labels(run: RunData) -> frozenset[str]:
    """Names of columns: numbers under the name of a class, such as its votes, where two or more columns are
    named so, with the other answers beside them; and texts most of which are names of two or more classes.
    Names match as those of `--data`."""
    if run.metadata is None:
        return frozenset()
    columns = {str(name): run.metadata[name] for name in run.metadata}
    votes = [name for name, c in columns.items() if pd.api.types.is_numeric_dtype(c) and _named(run, name)]
    found = {*votes, *_answers(run.metadata, votes)} if len(votes) > 1 else set[str]()
    found |= {name for name, column in columns.items() if _holds_classes(run, column)}
    return frozenset(found | ({SECOND, ENTROPY} & columns.keys()))


def _answers(table: pd.DataFrame, votes: list[str]) -> list[str]:
    """The columns beside `votes` that are answers of the same people, such as unknown: with them, and not
    before, the votes for every image sum to the same number."""
    names = [str(name) for name in table]
    first = names.index(votes[0])
    for end in range(names.index(votes[-1]) + 1, len(names) + 1):
        block = table.iloc[:, first:end]
        if not all(pd.api.types.is_numeric_dtype(block[name]) for name in block):
            break
        if block.sum(axis=1).nunique() == 1:
            return names[first:end]
    return []


def _holds_classes(run: RunData, column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column):
        return False
    counts = column.dropna().astype(str).value_counts()
    words = (
        name for name in counts.index if not name.strip().isdigit()
    )  # a digit is the name of many things
    classes = {name: found for name in words if (found := _named(run, name))}
    return len(set(classes.values())) > 1 and counts[list(classes)].sum() >= MOSTLY * counts.sum()


def _named(run: RunData, name: str) -> str:
    """The class with this name; empty where there is none, or several."""
    try:
        index = find_class(name, run.classes)
    except UserError:
        return ""
    return "" if index is None else run.classes[index]
