"""Results that are numbers as they are shown: on the page, in reports and in the terminal."""

import numpy as np

from explain.analysis.binary.text import Measure
from explain.analysis.numbers.measures import NumberScores, conclusion
from explain.analysis.statistics.intervals import RESAMPLES
from explain.formatting import counted
from models.counts import short

UNITS = ("mae", "rmse", "bias")  # in the unit of the output; the others have none
MEANINGS = {
    "mae": ("MAE", "mean absolute error: how far predicted numbers are from true ones on average"),
    "rmse": ("RMSE", "root of the mean squared error: as MAE, but large errors count more"),
    "pearson": (
        "Pearson r",
        "correlation of predicted and true numbers, from -1 to 1; ignores scale and shift",
    ),
    "ccc": (
        "CCC",
        "concordance correlation coefficient (Lin 1989), from -1 to 1: 1 only where predicted and true "
        "numbers are equal",
    ),
    "r2": (
        "R²",
        "1 minus the squared errors divided by those of always predicting the mean of the true numbers: 1 is "
        "perfect, 0 no better than that mean, negative worse",
    ),
    "bias": ("bias", "mean of predicted minus true: positive where the predicted numbers are too large"),
}


def measures(scores: NumberScores, output: int) -> list[Measure]:
    """Of one output, in the order of `MEANINGS`."""
    found = []
    for key, (name, meaning) in MEANINGS.items():
        low, high = scores.intervals[key][output]
        text = f"{meaning}; interval from {RESAMPLES} bootstrap samples of the images"
        value = float(scores.values[key][output])
        found.append(Measure(name, value, (float(low), float(high)), _why(scores, key, output), text))
    return found


def number(value: float, unit: bool = True) -> str:
    """Four significant digits of a number in the unit of the output, else three decimals, from 10 on four
    significant digits; a dash for what is not defined. What only rounds to 1 says so."""
    if value != value:
        return "–"
    if not unit:
        return ">0.999" if short(value) == "1.000" and value < 1 else _minus(short(value))
    return _minus(f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}")


def signed_number(value: float) -> str:
    """As `number`, with a plus before what is above 0."""
    return f"+{number(value)}" if value > 0 else number(value)


def with_interval(m: Measure) -> str:
    """'1.517 (1.38 to 1.65)', or only the value where there is no interval."""
    unit = m.name in {MEANINGS[key][0] for key in UNITS}
    low, high = m.interval
    ends = f" ({number(low, unit)} to {number(high, unit)})" if low == low else ""
    return f"{number(m.value, unit)}{ends}"


def headline(scores: NumberScores, output: int) -> str:
    """'MAE 1.18 (1.1 to 1.27) · RMSE … · Pearson r … · CCC … · R² … · bias …' of one output."""
    return " · ".join(f"{m.name} {with_interval(m)}" for m in measures(scores, output))


def controls(scores: NumberScores, output: int) -> list[str]:
    """The same measures of answering the mean of the true numbers for every image, and of the answers in
    random order; empty without images."""
    if not scores.images:
        return []
    made = {"answering the mean": scores.of_mean, "answers shuffled": scores.shuffled}
    return [
        f"{what}: "
        + " · ".join(
            f"{name} {number(float(values[key][output]), key in UNITS)}"
            for key, (name, _) in MEANINGS.items()
            if not np.isnan(values[key][output])
        )
        for what, values in made.items()
    ]


def format_regression(scores: NumberScores) -> list[str]:
    """All measures for a terminal: a line for each output, the two controls below it, and what was left
    out."""
    width = max(10, *(len(name) + 2 for name in scores.names))
    lines = []
    for k, name in enumerate(scores.names):
        lines.append(f"{name:{width}}{headline(scores, k)}")
        lines += [f"{'':{width}}{text}" for text in (*controls(scores, k), conclusion(scores, k)) if text]
    if scores.left_out:
        lines.append(
            f"{'left out':{width}}{counted(scores.left_out, 'image')} without a prediction or without a true "
            "number"
        )
    return lines


def _why(scores: NumberScores, key: str, output: int) -> str:
    """Why a measure is not defined; empty where it is."""
    if scores.values[key][output] == scores.values[key][output]:
        return ""
    if not scores.images:
        return "no image has a prediction and a true number"
    constant = "predicted" if scores.values["r2"][output] == scores.values["r2"][output] else "true"
    return f"not defined: the {constant} numbers do not vary"


def _minus(text: str) -> str:
    """With a typographic minus, and without one before a zero."""
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−")
