"""An evaluation as a table for a terminal, and in Markdown."""

import pandas as pd

from explain.gaze.metrics import METRICS
from explain.text_table import columns


def table_lines(means: pd.DataFrame) -> list[str]:
    """The table: one line a source, the metrics in their order; then what could not be scored."""
    rows = [("", *(m.title for m in METRICS.values()), "images")]
    rows += [
        (row["title"], *(number(row[m]) for m in METRICS), str(row["images"])) for _, row in means.iterrows()
    ]
    return [columns(rows, right=range(1, len(rows[0])))] + [
        f"{row['title']}: not scored: {row['missing']}" for _, row in means.iterrows() if row["missing"]
    ]


def markdown(means: pd.DataFrame) -> str:
    head = ["", *(m.title + ("" if m.better > 0 else " (less is better)") for m in METRICS.values())]
    rows = [
        f"| {row['title']} | " + " | ".join(number(row[m]) for m in METRICS) + " |"
        for _, row in means.iterrows()
    ]
    return "\n".join([f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *rows])


def number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"
