"""An evaluation as a table for a terminal, and in Markdown."""

import pandas as pd

from explain.gaze.metrics import METRICS


def table_lines(means: pd.DataFrame) -> list[str]:
    """One line a source, the metrics in their order; what could not be scored below."""
    titles = [m.title for m in METRICS.values()]
    wide = max(len(t) for t in means["title"])
    lines = [f"{'':{wide}}  " + "  ".join(f"{t:>9}" for t in titles) + "  images"]
    lines += [
        f"{row['title']:{wide}}  "
        + "  ".join(f"{number(row[m]):>9}" for m in METRICS)
        + f"  {row['images']:6}"
        for _, row in means.iterrows()
    ]
    return lines + [
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
