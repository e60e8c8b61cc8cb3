"""ROC and precision-recall curves as lines in a square of 100 by 100, for the page and for reports."""

from dataclasses import dataclass

import numpy as np

from explain.analysis.binary.text import Measure, areas, figure, interval_text
from explain.analysis.findings import Findings

SIDE = 100  # of the drawing, and steps of a curve that are told apart
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """`short`: what its `area` is called; `across`, `up`: the axes. In the drawing, whose y grows downwards:
    `points` of the line, as SVG writes them; two points `by_chance`; `at`, the operating point, None where it
    is not defined. `alt`: the same as text."""

    short: str
    area: Measure
    across: str
    up: str
    points: str
    by_chance: tuple[Point, Point]
    at: Point | None
    alt: str

    @property
    def value(self) -> str:
        return figure(self.area.value)

    @property
    def interval(self) -> str:
        return interval_text(self.area)


def curves(findings: Findings) -> list[Curve]:
    """ROC and precision-recall of a run of two classes; none where they are not defined."""
    scores, threshold = findings.scores, findings.run.threshold
    if scores.undefined:
        return []
    counts, (auc, average) = scores.at(threshold), areas(scores)
    base = scores.positives / len(scores.truth)

    def curve(
        title: str,
        short: str,
        area: Measure,
        axes: tuple[str, str],
        line: tuple[np.ndarray, np.ndarray],
        by_chance: tuple[Point, Point],
        at: Point,
    ) -> Curve:
        known = at[0] == at[0] and at[1] == at[1]
        alt = (
            f"{title} curve: {short} {figure(area.value)}, 95 % interval {interval_text(area)}; at the "
            f"threshold {threshold} {axes[0]} {figure(at[0])}, {axes[1]} {figure(at[1])}"
        )
        ends = _place(*by_chance[0]), _place(*by_chance[1])
        return Curve(short, area, *axes, _points(*line), ends, _place(*at) if known else None, alt)

    alarms, recall = 1 - counts.specificity, counts.sensitivity
    axes, precision = ("recall", "precision"), (recall, counts.precision)
    level = ((0.0, base), (1.0, base))
    return [
        curve(
            *("ROC", "AUC", auc, ("false-alarm rate", "sensitivity"), scores.roc),
            *(((0.0, 0.0), (1.0, 1.0)), (alarms, recall)),
        ),
        curve("Precision-recall", "AP", average, axes, scores.precision_recall, level, precision),
    ]


def _place(x: float, y: float) -> Point:
    return SIDE * x, SIDE * (1 - y)


def _points(x: np.ndarray, y: np.ndarray) -> str:
    """Without points that lie within a step of the one before."""
    cell = np.round(x * SIDE) * (SIDE + 1) + np.round(y * SIDE)
    kept = np.flatnonzero(np.append(True, np.diff(cell) != 0))
    kept = np.union1d(kept, [len(x) - 1])
    return " ".join(f"{SIDE * a:.1f},{SIDE * (1 - b):.1f}" for a, b in zip(x[kept], y[kept], strict=True))
