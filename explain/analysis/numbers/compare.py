"""Two runs of the same images whose outputs are numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import pandas as pd

from explain.analysis.compare import must_be_the_same_pictures, same_names
from explain.analysis.numbers.measures import NumberScores
from explain.analysis.numbers.text import MEANINGS, number
from explain.analysis.statistics.bootstrap import REPLICATES, Metric, drawn_weights, interval
from explain.formatting import be, counted
from explain.run.outputs.number_run import NumbersRun
from explain.text_table import columns
from models.errors import UserError

ERRORS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "MAE": (np.abs, lambda mean: mean),
    "RMSE": (np.square, np.sqrt),
}
"""Name -> (of residuals what is averaged, and what is made of the average)."""
AGREEMENT = ("pearson", "ccc")
"""Names in `regression.MEASURES` of what is compared without an interval of its difference."""
BLOCK = 50  # bootstrap samples at once: at 50,000 images 20 MB


@dataclass(frozen=True, eq=False)
class NumbersComparison:
    """`matched`: one row an image that both answered under the same true numbers: `id`, `row_a`, `row_b`.
    `truth`, `predicted_a`, `predicted_b` (n, R) of these. `metrics`: for each output, MAE and RMSE of both,
    and B - A with its interval. `relabeled`: images whose true numbers differ; they are left out. `to_b`: of
    each output its number in B; `alone`: images that A alone, and that B alone answered."""

    a: NumbersRun
    b: NumbersRun
    outputs: tuple[str, ...]
    matched: pd.DataFrame
    truth: np.ndarray
    predicted_a: np.ndarray
    predicted_b: np.ndarray
    metrics: tuple[tuple[Metric, ...], ...]
    relabeled: int
    to_b: tuple[int, ...]
    alone: tuple[int, int]

    @cached_property
    def scores(self) -> tuple[NumberScores, NumberScores]:
        """All measures of A and of B on the images of `matched`."""
        of_a, of_b = (
            NumberScores.of(self.truth, predicted, self.outputs)
            for predicted in (self.predicted_a, self.predicted_b)
        )
        return of_a, of_b

    def changes(self, output: int) -> np.ndarray:
        """(n,): |residual of B| - |residual of A|, negative where B is nearer to the truth."""
        truth, of_a, of_b = (v[:, output] for v in (self.truth, self.predicted_a, self.predicted_b))
        found: np.ndarray = np.abs(of_b - truth) - np.abs(of_a - truth)
        return found

    def nearer(self, output: int) -> np.ndarray:
        """Rows of `matched` where B is nearer to the truth than A, the largest change first."""
        change = self.changes(output)
        order = np.argsort(change, kind="stable")
        return order[change[order] < 0]

    def farther(self, output: int) -> np.ndarray:
        """As `nearer`, where B is farther from the truth."""
        change = self.changes(output)
        order = np.argsort(-change, kind="stable")
        return order[change[order] > 0]


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
            f"The runs share {counted(len(both), 'image')}, but none of them under the same true numbers: "
            "run both networks on the same data."
        )
    matched = both[same].reset_index(drop=True)
    must_be_the_same_pictures(a, b, matched)
    truth, of_a, of_b = a.truth[rows_a[same]], a.predicted[rows_a[same]], b.predicted[rows_b[same]][:, to_b]
    metrics = side_by_side(of_a - truth, of_b - truth, replicates, seed)
    alone = len(tables[0]) - len(both), len(tables[1]) - len(both)
    relabeled = int((~same).sum())
    return NumbersComparison(
        a, b, a.data_names, matched, truth, of_a, of_b, metrics, relabeled, tuple(to_b), alone
    )


def side_by_side(
    a: np.ndarray, b: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> tuple[tuple[Metric, ...], ...]:
    """For each output, `ERRORS` of the residuals (n, R) of both. Intervals of one image are NaN."""
    runs, averaged = (a, b), [of_residual for of_residual, _ in ERRORS.values()]
    # columns: MAE of A, MAE of B, RMSE of A, RMSE of B of the first output, then of the next
    values = np.stack([of(run) for of in averaged for run in runs], -1).reshape(len(a), -1)
    drawn = _means(values, replicates, seed) if len(a) > 1 else np.full((1, values.shape[1]), np.nan)
    shape = a.shape[1], len(ERRORS), len(runs)
    whole, drawn = values.mean(0).reshape(shape), drawn.reshape(-1, *shape)
    made = []
    for k in range(a.shape[1]):
        metrics = []
        for i, (name, (_, of_mean)) in enumerate(ERRORS.items()):
            of_a, of_b = (float(v) for v in of_mean(whole[k, i]))
            drawn_a, drawn_b = of_mean(drawn[:, k, i]).T
            ends = interval(drawn_a), interval(drawn_b), interval(drawn_b - drawn_a)
            metrics.append(Metric(name, of_a, of_b, *ends, -1))
        made.append(tuple(metrics))
    return tuple(made)


def _means(values: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """(replicates, columns): means of the columns of `values` (n, columns) in each bootstrap sample."""
    weights, found = drawn_weights(len(values), replicates, seed), []
    while block := list(islice(weights, BLOCK)):
        found.append(np.stack(block) @ values / len(values))
    return np.concatenate(found)


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


def shared_text(c: NumbersComparison) -> str:
    """'24 images in both; 2 images whose true numbers differ are left out; 3 images are in A alone'."""
    parts = [f"{counted(len(c.matched), 'image')} in both"]
    if c.relabeled:
        parts.append(f"{counted(c.relabeled, 'image')} whose true numbers differ {be(c.relabeled)} left out")
    parts += [
        f"{counted(n, 'image')} {be(n)} in {run} alone" for run, n in zip("AB", c.alone, strict=True) if n
    ]
    return "; ".join(parts)


def agreement(c: NumbersComparison, output: int) -> list[tuple[str, float, float]]:
    """(name, of A, of B) of each measure in `AGREEMENT`; NaN where it is not defined."""
    of_a, of_b = (scores.values for scores in c.scores)
    return [(MEANINGS[m][0], float(of_a[m][output]), float(of_b[m][output])) for m in AGREEMENT]


def format_text(c: NumbersComparison) -> list[str]:
    """For a terminal."""
    head = [run.unfinished for run in (c.a, c.b) if run.unfinished]
    head += [
        f"A          {c.a.manifest.network}, {c.a.folder}",
        f"B          {c.b.manifest.network}, {c.b.folder}",
        f"shared     {shared_text(c)}",
    ]
    rows: list[tuple[str, ...]] = [("", "A", "B", "B - A", "95 % interval", "")]
    for k, (name, metrics) in enumerate(zip(c.outputs, c.metrics, strict=True)):
        for m in metrics:
            low, high = (number(end) for end in m.interval)
            values = (number(m.a), number(m.b), number(m.difference), f"{low} to {high}")
            rows.append((f"{name} {m.name}", *values, "*" if m.sure else ""))
        for measure, of_a, of_b in agreement(c, k):
            rows.append((f"{name} {measure}", number(of_a, False), number(of_b, False), "", "", ""))
    return [
        *head,
        "",
        columns(rows, right=(1, 2, 3)),
        "",
        "MAE, RMSE: smaller is better; * where the interval leaves 0 out. Pearson r, CCC: larger is better",
    ]
