"""How the maps of wrong answers differ from those of right ones, class by class."""

from dataclasses import dataclass

import numpy as np

from explain.analysis.statistics.significance import difference, false_discovery
from explain.run.format import map_column
from explain.run.reader import RunData


@dataclass(frozen=True)
class Contrast:
    """`statistic` of the maps of class `label`'s images: means when wrong and when right, Cliff's delta
    (above 0: larger when wrong), p of the Mann-Whitney test, adjusted (Benjamini-Hochberg) for all classes
    and statistics of the method and target. `label` -1: all classes."""

    label: int
    statistic: str
    wrong: float
    right: float
    n_wrong: int
    n_right: int
    delta: float
    p: float


def contrasts(run: RunData, method: str, target: str = "pred") -> list[Contrast]:
    """Every class with images and all of them together, every statistic; p and delta are NaN below five wrong
    or five right images."""
    name, label, right = map_column(method, target), run.ok["label"].to_numpy(), run.ok["correct"].to_numpy()
    order = np.argsort(label, kind="stable")
    of_class = np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else []
    groups = {-1: order} | {int(label[rows[0]]): rows for rows in of_class}
    columns = {s: run.ok[f"{name}.{s}"].to_numpy(float) for s in run.manifest.request.statistics}
    found = [
        (number, statistic, difference(values[rows[~right[rows]]], values[rows[right[rows]]]))
        for number, rows in groups.items()
        for statistic, values in columns.items()
    ]
    p = false_discovery(np.array([d.p for *_, d in found]))
    return [
        Contrast(label, statistic, d.mean_a, d.mean_b, d.n_a, d.n_b, d.delta, float(p[i]))
        for i, (label, statistic, d) in enumerate(found)
    ]
