"""Results of images with any number of labels as they are shown: on the page, in reports and in the
terminal."""

from dataclasses import dataclass

import numpy as np

from explain.analysis.binary.text import Measure, figure
from explain.analysis.multi_label.counts import NONE, LabelCounts
from explain.analysis.multi_label.measures import LabelScores
from explain.analysis.statistics.intervals import RESAMPLES
from explain.formatting import counted, listed

WIDTH = 15  # of the names in a terminal
BOOTSTRAP = f"interval from {RESAMPLES} bootstrap samples of the images"
MEANINGS = {
    "micro_precision": (
        "micro precision",
        "of all predicted labels of all images, the fraction that is true",
    ),
    "micro_recall": ("micro recall", "of all true labels of all images, the fraction that is predicted"),
    "micro_f1": ("micro F1", "F1 of the labels of all classes together: frequent classes count more"),
    "macro_precision": ("macro precision", "mean of the precision of the classes: all count the same"),
    "macro_recall": ("macro recall", "mean of the recall of the classes: all count the same"),
    "macro_f1": ("macro F1", "mean of the F1 of the classes: all count the same"),
    "subset_accuracy": (
        "subset accuracy",
        "fraction of images whose predicted labels are exactly the true ones: none missing, none too many",
    ),
    "hamming_loss": (
        "Hamming loss",
        "fraction of wrong decisions, one decision for each image and class; smaller is better",
    ),
    "labels_per_image": ("labels per image", "mean number of true labels of an image"),
    "called_per_image": ("predicted labels per image", "mean number of predicted labels of an image"),
}


@dataclass(frozen=True)
class ClassRow:
    """One class in a table: images that have it, and its measures at its threshold."""

    name: str
    images: int
    predicted: int
    average_precision: Measure
    precision: Measure
    recall: Measure
    f1: Measure
    threshold: float


def areas(scores: LabelScores) -> list[Measure]:
    """mAP and macro AUC, which do not depend on thresholds; NaN where no class has one."""
    defined = len(scores.classes) - len(scores.undefined)
    known = np.isfinite(scores.average_precision)
    by_chance = float(scores.positives[known].mean() / scores.images) if known.any() else float("nan")
    of = (
        f"{defined} of {counted(len(scores.classes), 'class')}"
        if scores.undefined
        else counted(defined, "class")
    )
    return [
        Measure(
            "mAP",
            scores.mean_average_precision,
            scores.mean_average_precision_interval,
            f"{figure(by_chance)} by chance; {of}",
            "mean of the average precision of the classes, the area below the precision-recall curve; "
            f"{BOOTSTRAP}",
        ),
        Measure(
            "macro AUC",
            scores.macro_auc,
            NONE,
            f"0.500 by chance; {of}",
            "mean of the area below the ROC curve of the classes: how often an image with the class has a "
            "larger probability of it than one without",
        ),
    ]


def averages(counts: LabelCounts) -> list[Measure]:
    """Measures of all classes at their thresholds, in the order of `MEANINGS`."""
    return [
        Measure(
            name,
            counts.averages[key],
            counts.intervals[key],
            _note(counts, key),
            f"{meaning}; {'interval by Wilson' if key == 'subset_accuracy' else BOOTSTRAP}",
        )
        for key, (name, meaning) in MEANINGS.items()
    ]


def class_rows(scores: LabelScores, counts: LabelCounts) -> list[ClassRow]:
    """In the order of the classes."""
    ap = scores.average_precision, scores.average_precision_interval
    columns = {
        "precision": (counts.precision, counts.precision_interval, counts.tp + counts.fp),
        "recall": (counts.recall, counts.recall_interval, counts.tp + counts.fn),
    }
    meaning = {
        "precision": "fraction of the images predicted to have the class that have it",
        "recall": "fraction of the images with the class that are predicted to have it",
    }
    rows = []
    for k, name in enumerate(scores.classes):
        precision, recall = (
            _measure(key, value[k], ends[k], f"{counts.tp[k]:,} of {whole[k]:,}", meaning[key])
            for key, (value, ends, whole) in columns.items()
        )
        chance = f"{figure(scores.positives[k] / max(scores.images, 1))} by chance"
        area = "area below the precision-recall curve of the class"
        f1 = "harmonic mean of precision and recall"
        rows.append(
            ClassRow(
                name,
                int(scores.positives[k]),
                int(counts.tp[k] + counts.fp[k]),
                _measure("average precision", ap[0][k], ap[1][k], chance, f"{area}; {BOOTSTRAP}"),
                precision,
                recall,
                _measure("F1", counts.f1[k], counts.f1_interval[k], "", f1),
                float(counts.thresholds[k]),
            )
        )
    return rows


def with_interval(m: Measure) -> str:
    """'0.710 (0.680–0.740)', or only the value where there is no interval."""
    low, high = m.interval
    return f"{figure(m.value)} ({figure(low)}–{figure(high)})" if low == low else figure(m.value)


def headline(scores: LabelScores, counts: LabelCounts) -> str:
    """'mAP 0.710 (0.680–0.740) · micro F1 … · macro F1 … · all labels right 31.2 % · Hamming loss …'."""
    by_name = {m.name: m for m in [*areas(scores), *averages(counts)]}
    parts = [f"{name} {with_interval(by_name[name])}" for name in ("mAP", "micro F1", "macro F1")]
    parts.append(f"all labels right {_percent_with_interval(by_name['subset accuracy'])}")
    return " · ".join([*parts, f"Hamming loss {with_interval(by_name['Hamming loss'])}"])


def format_multi_label(scores: LabelScores, counts: LabelCounts) -> list[str]:
    """All measures for a terminal, one line each, and what was left out."""
    found = [*areas(scores), *averages(counts)]
    width = max(WIDTH, *(len(m.name) + 2 for m in found))
    lines = [f"{m.name:{width}}{with_interval(m)}{f'  {m.note}' if m.note else ''}" for m in found]
    if scores.undefined:
        names = listed(scores.undefined)
        lines.append(f"{'no AP, no AUC':{width}}{names}: no image or every image has this label")
    if scores.left_out:
        lines.append(f"{'left out':{width}}{counted(scores.left_out, 'image')} without an answer")
    return lines


def _note(counts: LabelCounts, key: str) -> str:
    if key == "subset_accuracy":
        return f"{np.count_nonzero(counts.right):,} of {counted(counts.images, 'image')}"
    if key == "hamming_loss":
        return (
            f"{figure(counts.averages['labels_per_image'] / counts.truth.shape[1])} if nothing is predicted"
        )
    values = {"macro_precision": counts.precision, "macro_recall": counts.recall, "macro_f1": counts.f1}
    missing = int(np.isnan(values[key]).sum()) if key in values else 0
    if not missing or not counts.images:
        return ""
    return f"{counted(missing, 'class')} where it is not defined counted as 0"


def _measure(name: str, value: float, ends: np.ndarray, note: str, meaning: str) -> Measure:
    return Measure(name, float(value), (float(ends[0]), float(ends[1])), note, meaning)


def _percent(value: float) -> str:
    """One decimal; what only rounds to 0 or 100 % says so."""
    text = f"{100 * value:.1f}"
    return "<0.1" if text == "0.0" and value > 0 else ">99.9" if text == "100.0" and value < 1 else text


def _percent_with_interval(m: Measure) -> str:
    """'31.2 % (28.0–34.5 %)', or a dash."""
    if m.value != m.value:
        return "–"
    low, high = m.interval
    return f"{_percent(m.value)}\u00a0% ({_percent(low)}–{_percent(high)}\u00a0%)"
