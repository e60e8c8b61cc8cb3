"""Predictions of a run of two classes at a threshold of the probability of one of them, as columns of its
table."""

import numpy as np
import pandas as pd

from explain.run.format import OTHER, Request, map_column

FLIPPED = "flipped"
"""Column of a table at a threshold: whether the prediction is another one than the network's own."""
ROUNDING = 0.01  # how far a probability may lie on the wrong side of 0.5 by rounding


def nudged(score: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Probabilities (n,) that are at least 0.5 exactly where the class is the network's own prediction
    (`called`). Scores that are equal, or differ by less than a probability can say, are 0.5 on both sides:
    where such a class is not predicted, the probability becomes the next number below 0.5. NaN where the two
    contradict each other by more than rounding."""
    score = score.astype(np.float64)
    above = ~called & (score >= 0.5)
    below = called & (score < 0.5)
    wrong = (above | below) & (np.abs(score - 0.5) > ROUNDING)
    score[above], score[below] = np.nextafter(0.5, 0), 0.5
    score[wrong] = np.nan
    return score


def decided(
    table: pd.DataFrame,
    ok: pd.DataFrame,
    score: np.ndarray,
    threshold: float,
    positive: int,
    request: Request,
) -> pd.DataFrame:
    """A table whose `pred`, `confidence` and statistics of the maps for the prediction are those of class
    `positive` being predicted where `score` (of the rows of `ok`) is at least `threshold`; what does not
    change is shared. Rows whose score is NaN keep their prediction."""
    pred, label = ok["pred"].to_numpy(), ok["label"].to_numpy()
    called = score >= threshold
    now = np.where(np.isnan(score), pred, np.where(called, positive, 1 - positive))
    flipped = now != pred
    rows = ok.index.to_numpy()[flipped]
    confidence = np.where(called, score, 1 - score)[flipped]
    changed = table.copy(deep=False)
    changed[FLIPPED] = False
    true = (now == label)[flipped]
    changed[FLIPPED] = _with(changed[FLIPPED], rows, np.ones(len(rows), bool))
    changed["pred"] = _with(table["pred"], rows, now[flipped])
    changed["confidence"] = _with(table["confidence"], rows, confidence)
    for method in request.methods:
        for statistic in request.statistics:
            name, of_label, of_other = (
                f"{map_column(method, t)}.{statistic}" for t in ("pred", "label", OTHER)
            )
            other = table[of_other].to_numpy(float)[rows] if of_other in table else np.nan
            values = np.where(true, table[of_label].to_numpy(float)[rows], other)
            changed[name] = _with(table[name], rows, values)
    return changed


def is_the_true_class(rows: pd.DataFrame) -> np.ndarray:
    """Whether the prediction of each row is its label."""
    return np.asarray((rows["pred"] == rows["label"]).to_numpy(bool))


def _with(column: pd.Series, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The column with other values in these rows, of the same kind; rows are those of the table, from 0."""
    found = column.to_numpy(copy=True)
    found[rows] = values
    return found
