"""The comparison of two runs of several labels per image as text, in the terminal and on the page."""

import pandas as pd

from explain.analysis.binary.measures import PRESETS
from explain.analysis.binary.text import figure
from explain.analysis.multi_label.compare import LabelChanges, LabelComparison
from explain.analysis.statistics.bootstrap import Metric
from explain.analysis.statistics.intervals import RESAMPLES
from explain.formatting import be, counted, listed, p_value
from explain.text_table import columns

TEST = "McNemar's exact test of right and wrong decisions"
DIFFERENCE = f"95 % interval of B - A from {RESAMPLES} bootstrap samples of the images, the same for both"
HEADS = ("label", "images", "AP A", "AP B", "B - A", "95 % interval", "F1 A", "F1 B", "only A", "only B", "p")


def correction(c: LabelComparison) -> str:
    """'Holm over 4 labels'."""
    return f"Holm over {counted(len(c.classes), 'label')}"


def shared_text(c: LabelComparison) -> str:
    """'24 images and 4 labels in both; 2 images whose labels differ are left out; A alone has red'."""
    images, labels = counted(len(c.rows), "image"), counted(len(c.classes), "label")
    parts = [f"{images} and {labels} in both"]
    if c.relabeled:
        parts.append(f"{counted(c.relabeled, 'image')} whose labels differ {be(c.relabeled)} left out")
    parts += [f"{run} alone has {listed(names)}" for run, names in zip("AB", c.alone, strict=True) if names]
    return "; ".join(parts)


def threshold_text(threshold: str) -> str:
    """How the thresholds of both were chosen."""
    if threshold in PRESETS and threshold != "0.5":
        return f"{PRESETS[threshold]} of each label, in each run by itself"
    return f"{threshold} for every label"


def signed(value: float) -> str:
    """'+0.050', or a dash for what is not defined."""
    return "–" if value != value else f"{value:+.3f}"


def interval_of(low: float, high: float) -> str:
    """'-0.012 to +0.112', or a dash where nothing varies."""
    return "–" if low != low else f"{low:+.3f} to {high:+.3f}"


def sure(low: float, high: float) -> bool:
    """Whether an interval leaves zero out."""
    return bool(low > 0 or high < 0)


def as_table(changes: LabelChanges) -> pd.DataFrame:
    """One row a label, the largest change of the average precision first; p without and with the
    correction."""
    c = changes.of
    table = pd.DataFrame(
        {
            "label": c.classes,
            "images": c.scores_a.positives,
            "ap_a": c.scores_a.average_precision,
            "ap_b": c.scores_b.average_precision,
            "ap_difference": c.gained,
            "ap_difference_low": c.gained_interval[:, 0],
            "ap_difference_high": c.gained_interval[:, 1],
            "threshold_a": changes.counts_a.thresholds,
            "threshold_b": changes.counts_b.thresholds,
            "f1_a": changes.counts_a.f1,
            "f1_b": changes.counts_b.f1,
            "only_a": changes.only_a,
            "only_b": changes.only_b,
            "p": changes.p,
            "p_holm": changes.adjusted_p,
        }
    )
    return table.iloc[c.order].reset_index(drop=True)


def format_text(changes: LabelChanges, threshold: str) -> list[str]:
    """For a terminal: what is compared, metrics, and all labels."""
    c = changes.of
    lines = [run.unfinished for run in (c.a, c.b) if run.unfinished]
    lines += [
        f"A          {c.a.manifest.network}, {c.a.folder}",
        f"B          {c.b.manifest.network}, {c.b.folder}",
        f"shared     {shared_text(c)}",
        f"threshold  {threshold_text(threshold)}",
    ]
    heads = ("", "A", "B", "B - A", "95 % interval", "")
    metrics = columns([heads, *map(_metric, changes.metrics)], right=(1, 2, 3))
    labels = columns([HEADS, *_labels(changes)], right=range(1, len(HEADS)))
    return [*lines, "", metrics, "", labels, "", f"p          {TEST}, {correction(c)}"]


def _metric(m: Metric) -> tuple[str, ...]:
    return (
        m.name,
        figure(m.a),
        figure(m.b),
        signed(m.difference),
        interval_of(*m.interval),
        "*" if m.sure else "",
    )


def _labels(changes: LabelChanges) -> list[tuple[str, ...]]:
    return [
        (
            str(row["label"]),
            f"{row['images']:,}",
            figure(row["ap_a"]),
            figure(row["ap_b"]),
            signed(row["ap_difference"]),
            interval_of(row["ap_difference_low"], row["ap_difference_high"]),
            figure(row["f1_a"]),
            figure(row["f1_b"]),
            f"{row['only_a']:,}",
            f"{row['only_b']:,}",
            p_value(row["p_holm"]),
        )
        for row in as_table(changes).to_dict("records")
    ]
