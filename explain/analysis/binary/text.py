"""Measures of a run of two classes as they are shown: on the page, in reports and in the terminal."""

from dataclasses import dataclass

from explain.analysis.binary.measures import RESAMPLES, BinaryScores, Counts, Interval
from explain.analysis.findings import Findings
from explain.formatting import be, counted
from explain.run.reader import RunData

WIDTH = 13  # of the names in a terminal


@dataclass(frozen=True)
class Measure:
    """`value` NaN: not defined; `interval` of 95 %, NaN where there is none. `note`: what it was counted
    from; `meaning`: what it is."""

    name: str
    value: float
    interval: Interval
    note: str
    meaning: str


def areas(scores: BinaryScores) -> list[Measure]:
    """AUC and average precision; empty where curves are not defined."""
    if scores.undefined:
        return []
    return [
        Measure(
            "AUC",
            scores.auc,
            scores.auc_interval,
            f"{scores.positives:,} positive, {scores.negatives:,} negative",
            "area below the ROC curve: how often a positive image has a larger probability than a negative "
            "one; interval by DeLong",
        ),
        Measure(
            "average precision",
            scores.average_precision,
            scores.average_precision_interval,
            f"{scores.positives / (scores.positives + scores.negatives):.3f} by chance",
            "area below the precision-recall curve: mean precision over the recall; interval from "
            f"{RESAMPLES} bootstrap samples",
        ),
    ]


def measures(c: Counts) -> list[Measure]:
    """Sensitivity, specificity, precision and F1 of outcomes at a threshold."""
    none = (float("nan"), float("nan"))
    found = [
        Measure(
            "sensitivity",
            c.sensitivity,
            c.sensitivity_interval,
            f"{c.tp:,} of {c.tp + c.fn:,}",
            "recall: fraction of the positive images that are predicted positive",
        ),
        Measure(
            "specificity",
            c.specificity,
            c.specificity_interval,
            f"{c.tn:,} of {c.tn + c.fp:,}",
            "fraction of the negative images that are predicted negative; 1 minus the false-alarm rate",
        ),
        Measure(
            "precision",
            c.precision,
            c.precision_interval,
            f"{c.tp:,} of {c.tp + c.fp:,}",
            "fraction of the images predicted positive that are positive",
        ),
        Measure("F1", c.f1, c.f1_interval, "", "harmonic mean of precision and sensitivity"),
    ]
    return [m if m.value == m.value else Measure(m.name, m.value, none, m.note, m.meaning) for m in found]


def figure(value: float) -> str:
    """Three decimals; a dash for what is not defined. What only rounds to 0 or 1 says so."""
    if value != value:
        return "–"
    text = f"{value:.3f}"
    return "<0.001" if text == "0.000" and value > 0 else ">0.999" if text == "1.000" and value < 1 else text


def interval_text(m: Measure) -> str:
    """'0.880 to 0.944', or why there is none."""
    low, high = m.interval
    if m.value != m.value:
        return "not defined"
    return f"{figure(low)} to {figure(high)}" if low == low else "no interval: it does not vary"


def threshold_text(findings: Findings) -> str:
    """'0.5, the network's own prediction', or '0.7 of the probability of red'."""
    run = findings.run
    if run.threshold == 0.5:
        return "0.5, the network's own prediction"
    return f"{run.threshold} of the probability of {run.classes[run.positive]}"


def proposals_note(run: RunData) -> str:
    """Of which predictions the proposals are, where the page shows others."""
    note = "significant findings, the most errors first"
    return f"{note}; of the network's own predictions, at the threshold 0.5" if run.decision else note


def outcome_text(c: Counts) -> str:
    return ", ".join(
        (
            counted(c.tp, "hit"),
            counted(c.fp, "false alarm"),
            counted(c.fn, "miss"),
            counted(c.tn, "correct rejection"),
        )
    )


def left_out_text(scores: BinaryScores) -> str:
    """How many images have no probability; empty where all have one."""
    left = scores.left_out
    return f"{counted(left, 'image')} without a probability {be(left)} left out." if left else ""


def area_lines(scores: BinaryScores, width: int = 11) -> list[str]:
    """AUC and average precision for a terminal, or why there are none. `width`: of their names."""
    if scores.undefined:
        return [f"{'AUC':{width}}{scores.undefined}"]
    how = ("by DeLong", f"from {RESAMPLES} bootstrap samples")
    return [
        f"{name:{width}}{figure(m.value)}  ({_interval(m, words)}; {m.note})"
        for name, m, words in zip(("AUC", "AP"), areas(scores), how, strict=True)
    ]


def _interval(m: Measure, how: str) -> str:
    text = interval_text(m)
    return f"95 % interval {text} {how}" if m.interval[0] == m.interval[0] else text


def format_binary(findings: Findings) -> list[str]:
    """All measures for a terminal, one line each; empty for a run of other than two classes."""
    run = findings.run
    if not run.binary:
        return []
    counts, scores = findings.scores.at(run.threshold), findings.scores
    lines = [("threshold", threshold_text(findings))]
    lines += [(m.name, _with_interval(m)) for m in measures(counts)] + [("outcomes", outcome_text(counts))]
    if scores.left_out:
        lines.append(("left out", f"{counted(scores.left_out, 'image')} without a probability"))
    return [
        f"{'positive':{WIDTH}}{run.classes[run.positive]}",
        *area_lines(scores, WIDTH),
        *(f"{name:{WIDTH}}{text}" for name, text in lines),
    ]


def _with_interval(m: Measure) -> str:
    text = interval_text(m)
    interval = f"95 % interval {text}" if m.interval[0] == m.interval[0] else text
    return f"{figure(m.value)}  ({'; '.join(filter(None, [interval, m.note]))})"
