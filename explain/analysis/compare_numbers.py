"""Two runs of the same images whose outputs are numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explain.analysis.bootstrap import REPLICATES, Metric, drawn_weights, interval
from explain.analysis.compare import must_be_the_same_pictures, same_names
from explain.analysis.regression_text import number
from explain.run.number_run import NumbersRun
from explain.text_table import columns
from models.errors import UserError

ERRORS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "MAE": (np.abs, lambda mean: mean),
    "RMSE": (np.square, np.sqrt),
}
"""Name -> (of residuals what is averaged, and what is made of the average)."""


@dataclass(frozen=True, eq=False)
class NumbersComparison:
    """`matched`: one row an image that both answered under the same true numbers: `id`, `row_a`, `row_b`.
    `truth`, `predicted_a`, `predicted_b` (n, R) of these. `metrics`: for each output, MAE and RMSE of both,
    and B - A with its interval. `relabeled`: images whose true numbers differ; they are left out."""

    a: NumbersRun
    b: NumbersRun
    outputs: tuple[str, ...]
    matched: pd.DataFrame
    truth: np.ndarray
    predicted_a: np.ndarray
    predicted_b: np.ndarray
    metrics: tuple[tuple[Metric, ...], ...]
    relabeled: int


def compare_numbers(
    a: NumbersRun, b: NumbersRun, replicates: int = REPLICATES, seed: int = 0
) -> NumbersComparison:
    """In each of `replicates` bootstrap samples the same images are drawn for both. Raises UserError where
    the runs share no image, or have other outputs."""
    to_b = _outputs(a, b)
    tables = [_answered(run) for run in (a, b)]
    both = tables[0].merge(tables[1], on="id", suffixes=("_a", "_b"))
    if not len(both):
        raise UserError("The runs share no image that both answered: run both networks on the same data.")
    rows_a, rows_b = both["row_a"].to_numpy(), both["row_b"].to_numpy()
    same = (a.truth[rows_a] == b.truth[rows_b][:, to_b]).all(1)
    if not same.any():
        raise UserError(
            f"The runs share {len(both)} images, but none of them under the same true numbers: run both "
            "networks on the same data."
        )
    matched = both[same].reset_index(drop=True)
    must_be_the_same_pictures(a, b, matched)
    truth, of_a, of_b = a.truth[rows_a[same]], a.predicted[rows_a[same]], b.predicted[rows_b[same]][:, to_b]
    metrics = side_by_side(of_a - truth, of_b - truth, replicates, seed)
    return NumbersComparison(a, b, a.data_names, matched, truth, of_a, of_b, metrics, int((~same).sum()))


def side_by_side(
    a: np.ndarray, b: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> tuple[tuple[Metric, ...], ...]:
    """For each output, `ERRORS` of the residuals (n, R) of both."""
    weights = np.stack(list(drawn_weights(len(a), replicates, seed))) / len(a)
    made = []
    for k in range(a.shape[1]):
        metrics = []
        for name, (of_residual, of_mean) in ERRORS.items():
            values = [of_residual(run[:, k]) for run in (a, b)]
            whole_a, whole_b = (float(of_mean(value.mean())) for value in values)
            drawn_a, drawn_b = (of_mean(weights @ value) for value in values)
            ends = interval(drawn_a), interval(drawn_b), interval(drawn_b - drawn_a)
            metrics.append(Metric(name, whole_a, whole_b, *ends, -1))
        made.append(tuple(metrics))
    return tuple(made)


def _outputs(a: NumbersRun, b: NumbersRun) -> list[int]:
    """For each output of A, that of B."""
    same = {i: k for k, i in same_names(a.data_names, b.data_names).items()}
    if len(same) != len(a.outputs) or len(a.outputs) != len(b.outputs):
        shown = " and ".join(", ".join(run.data_names[:8]) for run in (a, b))
        raise UserError(f"The runs have other outputs ({shown}): compare runs of the same numbers.")
    return [same[k] for k in range(len(a.outputs))]


def _answered(run: NumbersRun) -> pd.DataFrame:
    """Readable images, each once."""
    ok = run.ok.drop_duplicates("id")
    return pd.DataFrame({"id": ok["id"].to_numpy(), "row": ok.index.to_numpy()})


def as_table(c: NumbersComparison) -> pd.DataFrame:
    """One row an image: its true numbers, and what both predicted."""
    found = {"id": c.matched["id"]}
    for k, name in enumerate(c.outputs):
        found |= {f"{name} true": c.truth[:, k], f"{name} predicted_a": c.predicted_a[:, k]}
        found[f"{name} predicted_b"] = c.predicted_b[:, k]
    return pd.DataFrame(found)


def format_text(c: NumbersComparison) -> list[str]:
    """For a terminal."""
    head = [run.unfinished for run in (c.a, c.b) if run.unfinished]
    head += [
        f"A          {c.a.manifest.network}, {c.a.folder}",
        f"B          {c.b.manifest.network}, {c.b.folder}",
        f"images     {len(c.matched)} in both"
        + (f"; {c.relabeled} whose true numbers differ left out" if c.relabeled else ""),
    ]
    rows: list[tuple[str, ...]] = [("", "A", "B", "B - A", "95 % interval", "")]
    for name, metrics in zip(c.outputs, c.metrics, strict=True):
        for m in metrics:
            low, high = (number(end) for end in m.interval)
            values = (number(m.a), number(m.b), number(m.difference), f"{low} to {high}")
            rows.append((f"{name} {m.name}", *values, "*" if m.sure else ""))
    return [
        *head,
        "",
        columns(rows, right=(1, 2, 3)),
        "",
        "smaller is better; * where the interval leaves 0 out",
    ]
