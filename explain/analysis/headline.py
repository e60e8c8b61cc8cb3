"""The main figures of a run, each with a note: the top of the page and of a report."""

from dataclasses import dataclass

from explain.analysis.on_maps import may_say_of, said_of, verdict_text
from explain.analysis.ranking import border_fractions, by_recall, most_confused
from explain.analysis.votes import voted_errors
from explain.formatting import counted, decimal, percent
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
    """Accuracy, macro F1, calibration, worst class and most confused pair (of a label: what is missed and
    called in error), border."""
    failed = int(run.table["error"].notna().sum())
    if not len(run.ok):
        return [Figure("accuracy", "–", f"none of {counted(failed, 'image')} has an answer")]
    without = f", {failed:,} without an answer" if failed else ""
    worst = _worst(run) if run.label_sets is None else _errors_of_label(run)
    return [*_totals(run, without), *worst, *_people(run), _border(run, method)]


def _totals(run: RunData, without: str) -> list[Figure]:
    e = run.evaluation
    low, high = e.interval
    return [
        Figure(
            "accuracy",
            f"{100 * e.accuracy:.1f}\u00a0%",
            f"95 % CI {100 * low:.1f}–{100 * high:.1f} %",
            meaning=f"Wilson interval; {counted(len(run.ok), 'image')}{without}",
        ),
        Figure(
            "macro F1",
            decimal(e.macro_f1),
            f"{counted(len(run.present), 'class')}, {counted(len(run.ok), 'image')}{without}",
        ),
        Figure(
            "calibration error",
            decimal(e.calibration_error),
            "over-confident" if e.overconfidence > 0 else "under-confident",
            meaning="expected calibration error, 15 bins: how far confidence is from the fraction of right "
            "answers",
        ),
    ]


def _worst(run: RunData) -> list[Figure]:
    """The worst class and the most confused pair, where there are any."""
    figures = []
    if run.present:
        worst = by_recall(run)[0]
        recall = decimal(run.evaluation.recall[worst])
        figures.append(Figure("worst class", run.classes[worst], f"recall {recall}", (worst, worst)))
    if pair := most_confused(run):
        text = f"{run.classes[pair.label]} → {run.classes[pair.pred]}"
        figures.append(
            Figure("most confused", text, f"{pair.count:,} of {pair.support:,}", (pair.label, pair.pred))
        )
    return figures


def _errors_of_label(run: RunData) -> list[Figure]:
    """Images that have the label and are not called, and those that are called and do not have it."""
    (right, alarms), (missed, found) = run.evaluation.confusion
    return [
        _part("missed", missed, missed + found, "have it", "sensitivity", (1, 0)),
        _part("false alarms", alarms, alarms + right, "do not have it", "specificity", (0, 1)),
    ]


def _part(name: str, wrong: int, of: int, which: str, measure: str, about: tuple[int, int]) -> Figure:
    rate = f": {measure} {decimal(1 - wrong / of)}" if of else ""
    return Figure(name, f"{wrong:,}", f"of {of:,} that {which}{rate}", about if wrong else None)


def _people(run: RunData) -> list[Figure]:
    """Of data with people's votes: how many errors are what other people say."""
    found = voted_errors(run) if run.label_sets is None else None
    if found is None:
        return []
    return [
        Figure(
            "people's second choice",
            percent(len(found.second) / found.errors),
            f"of {counted(found.errors, 'error')}; {percent(found.expected / found.errors)} by chance",
            meaning="errors that predict the class with the second most votes; by chance: if the errors of "
            "each class had nothing to do with the votes for their images",
        )
    ]


def _border(run: RunData, method: str) -> Figure:
    """With the verdict on the maps; the fractions are not the figure where the maps do not pass."""
    name = "map mass at the border"
    wrong, right = map(percent, border_fractions(run, method))
    meaning = (
        f"{run.title(method)}: images whose map for the prediction has more than half of its mass in the "
        f"outer eighth on each side; a map without preference has {percent(UNIFORM_BORDER_MASS)} there"
    )
    if not may_say_of(run, method):
        meaning = f"{meaning}; {wrong} of wrong, {right} of correct images"
        return Figure(name, "–", said_of(run, method), meaning=meaning)
    note = f"of wrong, {right} of correct images; {run.title(method)}: {verdict_text(run, method)}"
    return Figure(name, wrong, note, meaning=meaning)
