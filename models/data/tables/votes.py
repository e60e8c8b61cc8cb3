"""Columns of a table that hold people's votes for each class, as those of FER+."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.data.remote.location import Location
from models.errors import UserError

SINGLE_VOTES = 1.0
"""In a row of whole votes, an answer that has so many, or fewer, counts as none."""
MAJORITY = 0.5
"""More than this fraction of the votes makes an answer the label."""
SECOND, ENTROPY = "votes: second choice", "votes: entropy"
"""Columns of the metadata: the class with the second most votes, empty where there is none; and the entropy
of the fractions of votes in bits, 0 where all people agree."""
SPLIT_ENTROPY = 0.811
"""From here on people disagree: the entropy of votes of three against one, rounded down."""


@dataclass(frozen=True)
class VoteColumns:
    """`classes`: columns with the votes for each class, in the order of the classes; `others`: columns with
    votes for none of them, such as unknown."""

    classes: tuple[str, ...]
    others: tuple[str, ...] = ()

    @classmethod
    def parse(cls, classes: str | None, others: str | None = None) -> "VoteColumns | None":
        """Of names with commas between them; None where there are none. Raises UserError for fewer than two
        classes, names that occur twice, and others without classes."""
        named, rest = _names(classes), _names(others)
        if not named and not rest:
            return None
        if len(named) < 2:
            got = ", ".join(named) or "nothing"
            raise UserError(
                f"--label-columns names {got}: give a column of votes for each class, two or more, with "
                "commas between them."
            )
        if twice := [name for name in named + rest if (named + rest).count(name) > 1]:
            raise UserError(f"--label-columns and --other-columns name '{twice[0]}' twice: name it once.")
        return cls(named, rest)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in (text or "").split(","))))


@dataclass(frozen=True, eq=False)
class RowVotes:
    """Of the rows that have a majority for a class: `labels`, its name; `shares` (rows x classes), fractions
    of the votes for the classes, which sum to 1. `note`: how labels were made."""

    labels: pd.Series
    shares: pd.DataFrame
    note: str

    @property
    def metadata(self) -> pd.DataFrame:
        """Columns `SECOND` and `ENTROPY` of these rows."""
        from scipy.stats import entropy

        shares = self.shares.to_numpy()
        order = np.argsort(-shares, axis=1, kind="stable")
        names, rows = np.array(self.shares.columns, object), np.arange(len(shares))
        second = np.where(shares[rows, order[:, 1]] > 0, names[order[:, 1]], "")
        columns = {SECOND: second, ENTROPY: entropy(shares, base=2, axis=1)}
        return pd.DataFrame(columns, self.shares.index)


def read_votes(table: pd.DataFrame, columns: VoteColumns, path: Location) -> RowVotes:
    """The label of a row is the answer with more than half of its votes. Where all votes of the table are
    whole numbers, an answer with one vote counts as none, in labels and shares. Rows without such an answer,
    and those whose answer is none of the classes, are left out.

    E. Barsoum et al., *Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
    Distribution*, 2016 (arXiv:1608.01041): majority voting, and the cross-entropy of distributions. Raises
    UserError for missing columns, for cells that are no votes, and where no row has a majority.
    """
    names = [*columns.classes, *columns.others]
    if missing := [name for name in names if name not in table.columns]:
        raise UserError(
            f"'{path}' has no column '{missing[0]}', which --label-columns or --other-columns names: it has "
            f"{', '.join(map(str, table.columns[:16]))}."
        )
    votes = np.column_stack([_votes(table[name], name, path) for name in names])
    whole = bool((votes == votes.round()).all() and votes.sum(1).max(initial=0) > 1)
    if whole:
        votes = np.where(votes > SINGLE_VOTES, votes, 0.0)
    total, top = votes.sum(1), votes.argmax(1)
    major = votes.max(1) > MAJORITY * total
    kept = major & (top < len(columns.classes))
    if not kept.any():
        raise UserError(
            f"No row of '{path}' has a class with more than half of its votes: check --label-columns "
            f"({', '.join(columns.classes[:8])})."
        )
    shares = votes[kept, : len(columns.classes)]
    frame = pd.DataFrame(shares / shares.sum(1, keepdims=True), table.index[kept], list(columns.classes))
    labels = pd.Series(np.array(columns.classes, object)[top[kept]], table.index[kept])
    single = ", an answer with one vote counts as none" if whole else ""
    return RowVotes(labels, frame, f"the label is the class with more than half of the votes{single}")


def _votes(cells: pd.Series, name: str, path: Location) -> np.ndarray:
    """(n,) finite and not negative; an empty cell is 0."""
    numbers = pd.to_numeric(cells.astype(object).where(cells.notna(), 0), errors="coerce").to_numpy(float)
    if (bad := ~(np.isfinite(numbers) & (numbers >= 0))).any():
        raise UserError(
            f"Column '{name}' of '{path}' holds '{str(cells[bad].iloc[0])[:40]}', which is no count of "
            "votes: columns of votes hold numbers from 0."
        )
    return numbers


def one_hot(label: str, classes: Sequence[str]) -> tuple[float, ...]:
    """The shares of a label on which everybody agrees."""
    return tuple(float(name == label) for name in classes)
