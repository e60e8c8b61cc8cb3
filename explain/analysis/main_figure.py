"""The main figure of a run in a list of runs."""

from dataclasses import dataclass
from pathlib import Path

from explain.analysis.chance import NO_MEAN, in_few_words
from explain.analysis.multi_label.scores import label_scores
from explain.analysis.multi_label.text import areas, figure
from explain.analysis.numbers.measures import NumberScores, conclusion
from explain.analysis.numbers.text import measures, number
from explain.run.outputs.label_sets import LabelSetsRun
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import open_answers


@dataclass(frozen=True)
class MainFigure:
    """`value`: what lists are sorted by, NaN where there is none; `text`: as it is shown; `caution`: that the
    network is at chance, or the images are too few, empty where it is above chance; `images`: of the run."""

    name: str
    value: float
    text: str
    caution: str
    images: int


def main_figure(folder: Path) -> MainFigure:
    """Accuracy; of several labels per image the mean average precision, of numbers the first measure of the
    first output. Raises UserError for a run that cannot be read."""
    run = open_answers(folder)
    if isinstance(run, NumbersRun):
        return _of_numbers(run)
    if isinstance(run, LabelSetsRun):
        found = next(m for m in areas(label_scores(run.label_sets)) if m.name == "mAP")
        return MainFigure(found.name, found.value, figure(found.value), in_few_words(run), len(run.table))
    accuracy = run.evaluation.accuracy if len(run.ok) else float("nan")
    text = f"{100 * accuracy:.1f} %" if accuracy == accuracy else "–"
    return MainFigure("accuracy", accuracy, text, in_few_words(run), len(run.table))


def _of_numbers(run: NumbersRun) -> MainFigure:
    """Nothing of it is kept in the caches of the page, which would hold the run in memory."""
    output = run.outputs[run.index]
    scores = NumberScores.of(run.truth[:, [run.index]], run.predicted[:, [run.index]], (output,))
    first = measures(scores, 0)[0]
    of = f" of {output}" if len(run.outputs) > 1 else ""
    caution = NO_MEAN if conclusion(scores, 0) else ""
    return MainFigure(first.name + of, first.value, number(first.value), caution, len(run.table))
