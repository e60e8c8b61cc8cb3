"""How the maps of wrong answers differ from those of right ones, class by class."""

from dataclasses import dataclass

import numpy as np

from explain.analysis.significance import difference, false_discovery
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
    ok, name = run.ok, map_column(method, target)
    groups = {-1: ok} | {int(str(label)): group for label, group in ok.groupby("label")}
    found = []
    for label, group in groups.items():
        wrong = ~group["correct"].to_numpy()
        for statistic in run.manifest.request.statistics:
            values = group[f"{name}.{statistic}"].to_numpy(float)
            found.append((label, statistic, difference(values[wrong], values[~wrong])))
    p = false_discovery(np.array([d.p for *_, d in found]))
    return [
        Contrast(label, statistic, d.mean_a, d.mean_b, d.n_a, d.n_b, d.delta, float(p[i]))
        for i, (label, statistic, d) in enumerate(found)
    ]
