"""A run in six figures, each with a note: what the page and a report begin with."""

from dataclasses import dataclass

from explain.analysis.ranking import by_recall, looked_at_border, most_confused
from explain.formatting import decimal, percent
from explain.run.map_stats import UNIFORM_BORDER_MASS
from explain.run.reader import RunData


@dataclass(frozen=True)
class Figure:
    """`about`: the (true class, predicted class) whose images are behind it, the same number twice for a
    whole class; None for all of them. `meaning`: what the figure is, for who does not know it."""

    name: str
    value: str
    note: str
    about: tuple[int, int] | None = None
    meaning: str = ""


def headline(run: RunData, method: str) -> list[Figure]:
    """Accuracy, macro F1, calibration, worst class, most confused pair, border."""
    e = run.evaluation
    low, high = e.interval
    failed = int(run.table["error"].notna().sum())
    unread = f", {failed:,} without an answer" if failed else ""
    if not len(run.ok):
        return [Figure("accuracy", "–", f"none of {failed:,} images has an answer")]
    found = [
        Figure(
            "accuracy",
            f"{100 * e.accuracy:.1f}\u00a0%",
            f"95 % CI {100 * low:.1f}–{100 * high:.1f} %",
            meaning=f"Wilson interval; {len(run.ok):,} images{unread}",
        ),
        Figure(
            "macro F1", decimal(e.macro_f1), f"{len(run.present):,} classes, {len(run.ok):,} images{unread}"
        ),
        Figure(
            "calibration error",
            decimal(e.calibration_error),
            "over-confident" if e.overconfidence > 0 else "under-confident",
            meaning="expected calibration error, 15 bins: how far confidence is from the share of right "
            "answers",
        ),
    ]
    if run.present:
        worst = by_recall(run)[0]
        found.append(
            Figure("worst class", run.classes[worst], f"recall {decimal(e.recall[worst])}", (worst, worst))
        )
    if pair := most_confused(run):
        text = f"{run.classes[pair.label]} → {run.classes[pair.pred]}"
        found.append(
            Figure("most confused", text, f"{pair.count:,} of {pair.support:,}", (pair.label, pair.pred))
        )
    wrong, right = looked_at_border(run, method)
    meaning = (
        "images whose map for the prediction has more than half of its mass in the outer eighth on each "
        "side; "
        f"a map without preference has {UNIFORM_BORDER_MASS:.0%} there"
    )
    return [
        *found,
        Figure(
            "looked at the border", percent(wrong), f"of errors, {percent(right)} of hits", meaning=meaning
        ),
    ]
