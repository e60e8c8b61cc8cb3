"""The numbers of a run, one output at a time: the plane of its images, measures beside those of a control,
and errors by the true number. Each is computed once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from explain.analysis.binary.text import Measure
from explain.analysis.chance import no_better_than_mean
from explain.analysis.headline import Figure
from explain.analysis.numbers.groups import Bin, bins
from explain.analysis.numbers.measures import scores_of_output
from explain.analysis.numbers.plane import Plane
from explain.analysis.numbers.text import MEANINGS, UNITS, measures, number
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData

KEPT = 32  # outputs of runs: at 50,000 images about 3 MB each
MEASURED, AHEAD = 512, 16  # outputs whose measures are kept, and computed before they are asked for
CONTROL, SHUFFLED = "answering the mean", "answers shuffled"
"""What every measure is compared with: the mean of the true numbers of this data as every answer, and the
answers assigned to the images at random."""


@lru_cache(maxsize=KEPT)
def plane_of(run: NumbersRun, output: int) -> Plane:
    return Plane.of(run.outputs[output], run.truth[:, output], run.predicted[:, output])


@lru_cache(maxsize=KEPT)
def bins_of(run: NumbersRun, output: int) -> list[Bin]:
    return bins(plane_of(run, output))


def cautions(run: NumbersRun, output: int) -> list[str]:
    """What to know before the figures of an output are read: that the run has not ended, and that its answers
    are no better than the mean."""
    return [text for text in (run.unfinished, caution_of_mean(run, output)) if text]


def caution_of_mean(run: NumbersRun, output: int) -> str:
    """That answers are no better than the mean; empty where they are."""
    return no_better_than_mean(run, output)


@dataclass(frozen=True)
class ComparedMeasure:
    """A measure as text, with its interval and the values of the controls (`CONTROL`, `SHUFFLED`); each empty
    where it is not defined. `why`: why the measure itself is not."""

    name: str
    value: str
    interval: str
    control: str
    shuffled: str
    why: str
    meaning: str


@lru_cache(maxsize=MEASURED)
def compared_measures(run: NumbersRun, output: int) -> list[ComparedMeasure]:
    """Of one output, each beside those of the controls."""
    scores = scores_of_output(run, output)
    controls = (scores.of_mean, scores.shuffled) if scores.images else (scores.values, scores.values)
    return [
        _compared(m, key in UNITS, [float(values[key][0]) for values in controls])
        for m, key in zip(measures(scores, 0), MEANINGS, strict=True)
    ]


COMPARABLE = 5  # outputs whose ranges differ by no more than this factor share one scale


@lru_cache(maxsize=KEPT)
def ranges_of(run: NumbersRun) -> tuple[np.ndarray, np.ndarray, bool]:
    """The ends (R,) and (R,) of a scale for the numbers of each output, with 0 where it is near them; and
    whether all share one."""
    planes = [plane_of(run, k) for k in range(len(run.outputs))]
    axes = [p.axis for p in planes]
    low, high = np.array([a.low for a in axes]), np.array([a.high for a in axes])
    near = (low > 0) & (low < high - low)
    low[near] = 0.0
    span = high - low
    shared = len(axes) > 1 and bool(span.max() <= COMPARABLE * span.min())
    if shared:
        low[:], high[:] = low.min(), high.max()
    return low, high, shared


def measure_all(run: RunData) -> None:
    """Compute the measures of the first outputs, so that they are there when they are asked for; nothing for
    runs of classes."""
    if isinstance(run, NumbersRun):
        for output in range(min(len(run.outputs), AHEAD)):
            compared_measures(run, output)


def worst_row(run: NumbersRun) -> int | None:
    """The row of the largest error of the output that is shown first; None without images."""
    plane = plane_of(run, run.index)
    return int(plane.rows[np.abs(plane.residual).argmax()]) if len(plane.rows) else None


def _compared(m: Measure, unit: bool, controls: list[float]) -> ComparedMeasure:
    low, high = m.interval
    interval = f"{number(low, unit)} to {number(high, unit)}" if low == low else ""
    of_mean, shuffled = (number(value, unit) if value == value else "" for value in controls)
    return ComparedMeasure(m.name, number(m.value, unit), interval, of_mean, shuffled, m.note, m.meaning)


def figures(run: NumbersRun, output: int) -> list[Figure]:
    """The headline of one output."""
    return [
        Figure(
            m.name,
            m.value,
            m.why or _note(m),
            meaning=f"{m.meaning}; {CONTROL}: {m.control or '–'}; {SHUFFLED}: {m.shuffled or '–'}",
        )
        for m in compared_measures(run, output)
    ]


OF_MEAN = ("MAE", "RMSE")  # of the mean, the others are 0 or not defined, whatever the data


def _note(m: ComparedMeasure) -> str:
    """The interval, and what answering the mean has."""
    control = f"{CONTROL}: {m.control}" if m.name in OF_MEAN and m.control else ""
    return " · ".join(filter(None, [m.interval, control]))


def left_out(run: NumbersRun, output: int) -> str:
    """How many images lack one of the two numbers; empty where none does."""
    lost = len(run.table) - len(plane_of(run, output).rows)
    verb = "is" if lost == 1 else "are"
    return f"{lost:,} without a true or a predicted number {verb} left out" if lost else ""
