"""Charts as files: PNG by matplotlib, and the numbers behind each as CSV."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from models.files.atomic import atomic
from models.palette import ACCENT, WARNING
from models.training.charts import AnyChart, Bars, Chart, Matrix

PAIR = (ACCENT.light, WARNING.light)


def save_charts(charts: Sequence[AnyChart], folder: Path) -> list[Path]:
    """KEY.png and KEY.csv for each chart; returns the PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for chart in charts:
        chart.table().to_csv(folder / f"{chart.key}.csv", index=False)
        made.append(folder / f"{chart.key}.png")
        with atomic(made[-1]) as temporary:
            temporary.write_bytes(png(chart))
    return made


def png(chart: AnyChart, dpi: int = 120) -> bytes:
    """The chart as a picture, 6.4 × 4.8 inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # without pyplot: no window, no state

    figure = Figure(figsize=(6.4, 4.8), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(chart.title, loc="left", fontsize=11)
    if isinstance(chart, Matrix):
        _matrix(axes, chart)
    elif isinstance(chart, Bars):
        _bars(axes, chart)
    else:
        _lines(axes, chart)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _lines(axes: "matplotlib.axes.Axes", chart: Chart) -> None:
    colors = PAIR if len(chart.lines) <= 2 else matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for i, line in enumerate(chart.lines):
        grey = chart.square and line.style == "dash"
        axes.plot(
            line.x,
            line.y,
            label=line.name,
            linewidth=1.5,
            linestyle="--" if line.style == "dash" else "-",
            markersize=3,
            color="#667085" if grey else colors[i % len(colors)],
            marker="o" if len(line.x) < 30 and not grey else None,
        )
    for at, word in chart.marks:
        axes.axvline(at, color="#98a2b3", linewidth=1)
        axes.annotate(
            word,
            (at, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set(xlabel=chart.x, ylabel=chart.y)
    if chart.square:
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: "matplotlib.axes.Axes", chart: Bars) -> None:
    rows = np.arange(len(chart.names))
    axes.barh(rows, np.nan_to_num(chart.values), height=0.65, color=ACCENT.light)
    axes.plot(chart.marks, rows, "|", color=WARNING.light, markersize=11, mew=2, label=chart.marked)
    if len(rows) <= 60:
        axes.set_yticks(rows, chart.names, fontsize=8)
    for row, value in enumerate(chart.values) if len(rows) <= 30 else ():
        text = "–" if np.isnan(value) else f"{value:.2f}"
        axes.text(np.nan_to_num(value) + 0.01, row, text, va="center", fontsize=8)
    axes.set(xlabel=chart.x, xlim=(0, 1.08))
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


def _matrix(axes: "matplotlib.axes.Axes", chart: Matrix) -> None:
    fraction = chart.values / np.maximum(chart.values.sum(1, keepdims=True), 1e-9)
    axes.imshow(fraction, cmap="GnBu", vmin=0, vmax=1)
    few = len(chart.classes) <= 30
    if few:
        axes.set_xticks(range(len(chart.classes)), chart.classes, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(chart.classes)), chart.classes, fontsize=8)
    for (i, j), value in np.ndenumerate(chart.values) if len(chart.classes) <= 16 else ():
        text = f"{value:.2f}" if chart.fraction else str(int(value))
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if fraction[i, j] > 0.6 else "#1d2939",
        )
    axes.set(xlabel="predicted", ylabel="true")
