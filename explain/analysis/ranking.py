"""Analysis of a run: which images to show, in which order, and what they have in common. NumPy and pandas
only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from explain.formatting import counted
from explain.run.format import map_column
from explain.run.reader import RunData
from models.errors import UserError

SORTS = {
    "most confident": ("confidence", False),
    "least confident": ("confidence", True),
    "highest loss": ("loss", False),
    "lowest loss": ("loss", True),
    "least margin": ("margin", True),
}
LOOKED_AT = 64
"""Maps that are read to see why there is nothing in any."""


def ordered(run: RunData, rows: np.ndarray, sort: str) -> np.ndarray:
    """Rows of readable images in the order of `sort`."""
    if sort not in SORTS:
        raise UserError(f"No order '{sort}': choose from {', '.join(SORTS)}.")
    column, ascending = SORTS[sort]
    values = (run.margin if column == "margin" else run.ok[column]).loc[rows].to_numpy(float)
    return rows[np.argsort(values if ascending else -values, kind="stable")]


def select(
    run: RunData,
    label: int | None = None,
    pred: int | None = None,
    correct: bool | None = None,
    sort: str = "most confident",
) -> np.ndarray:
    """Rows of the run's table: of true class `label`, predicted as `pred`, right or wrong, in the order of
    `sort`."""
    table, at = run.ok, np.arange(len(run.ok)) if label is None else _of_classes(run)[label]
    for column, wanted in (("pred", pred), ("correct", correct)):
        if wanted is not None:
            at = at[table[column].to_numpy()[at] == wanted]
    return ordered(run, table.index.to_numpy()[at], sort)


@lru_cache(maxsize=2)
def _of_classes(run: RunData) -> list[np.ndarray]:
    """The images of each class, as places in `run.ok`: a class of a million images is a hundredth of them."""
    label = run.ok["label"].to_numpy()
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=len(run.classes)))[:-1])


def by_recall(run: RunData) -> list[int]:
    """Classes that have images, the worst first; among equals the one with more errors."""
    e = run.evaluation
    return sorted(run.present, key=lambda i: (e.recall[i], -(e.support[i] - e.confusion[i, i]), i))


@dataclass(frozen=True)
class ClassSample:
    """Rows of a few wrong and right images of class `index`."""

    index: int
    wrong: np.ndarray
    right: np.ndarray


def overview(
    run: RunData, each: int = 2, sort: str = "most confident", classes: list[int] | None = None
) -> list[ClassSample]:
    """`each` wrong and `each` right images of every class, the worst class first; or of `classes` alone."""
    return [
        ClassSample(
            i, select(run, i, correct=False, sort=sort)[:each], select(run, i, correct=True, sort=sort)[:each]
        )
        for i in (by_recall(run) if classes is None else classes)
    ]


@dataclass(frozen=True)
class Pair:
    """`count` of the `support` images of class `label` were predicted as `pred`."""

    label: int
    pred: int
    count: int
    support: int


def most_confused(run: RunData) -> Pair | None:
    """The largest cell off the diagonal; None where nothing is wrong."""
    wrong = run.evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return None
    i, j = divmod(int(wrong.argmax()), wrong.shape[1])
    return Pair(i, j, int(wrong[i, j]), int(run.evaluation.support[i]))


def border_fractions(run: RunData, method: str) -> tuple[float, float]:
    """Fractions of wrong and of right images whose map for the prediction has most of its mass in the outer
    eighth."""
    mass = run.ok[f"{map_column(method, 'pred')}.border_mass"].to_numpy(float)
    right = run.ok["correct"].to_numpy()
    return tuple(
        float((mass[group] > 0.5).mean()) if group.any() else float("nan") for group in (~right, right)
    )  # type: ignore[return-value]


def without_maps(run: RunData) -> list[str]:
    """One line for each method of which no map has a positive value; of those that are NaN it says so."""
    lines = []
    for method in run.manifest.request.methods:
        entropy = run.ok[f"{map_column(method, 'pred')}.entropy"]
        if len(entropy) and entropy.isna().all():
            first = run.maps(method, "pred", entropy.index[:LOOKED_AT].tolist())
            what = "is NaN" if np.isnan(first).any((1, 2)).all() else "is without positive evidence"
            lines.append(f"maps       every map of {method} {what}: choose another method or layer")
    return lines


def summary(run: RunData) -> pd.DataFrame:
    """One row a class that has images: class, images, precision, recall, f1; the worst recall first."""
    e, order = run.evaluation, by_recall(run)
    columns = {"images": e.support, "precision": e.precision, "recall": e.recall, "f1": e.f1}
    return pd.DataFrame(
        {"class": [run.classes[i] for i in order]} | {k: v[order] for k, v in columns.items()}
    )


def format_text(run: RunData, areas: Sequence[str] = ()) -> list[str]:
    """A run's outcome in a few lines: accuracy, `areas` (lines on its curves), macro-F1, worst classes,
    images without an answer, speed."""
    e, manifest = run.evaluation, run.manifest
    low, high = e.interval
    worst = [f"{row['class']} {row['recall']:.2f}" for _, row in summary(run).head(3).iterrows()]
    lines = (
        [
            f"accuracy   {100 * e.accuracy:.1f} %  (95 % interval {100 * low:.1f} % to {100 * high:.1f} %, "
            f"{counted(len(run.ok), 'image')})",
            *areas,
            f"macro-F1   {e.macro_f1:.3f}",
            f"worst      {', '.join(worst)}  (recall)",
        ]
        if len(run.ok)
        else []
    )
    failed = run.table[run.table["error"].notna()]
    if len(failed):
        kinds = ", ".join(
            f"{reason} ({count})" for reason, count in failed["error"].value_counts().head(4).items()
        )
        lines.append(
            f"left out   {len(failed)} of {counted(len(run.table), 'image')}: {kinds}; the first is "
            f"{failed.iloc[0]['id']}"
        )
    lines += without_maps(run)
    speed = f"{manifest.images_per_second:.1f} images/s, " if manifest.images_per_second else ""
    return [*lines, f"run        {speed}{manifest.request.where}, {run.folder}"]
