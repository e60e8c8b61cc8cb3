"""Curves over the depth of a network, for the image in front and for the run: small charts that share their
layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dashboard.components.clickable import action, esc
from dashboard.components.strongest import FIND
from explain.formatting import percent

if TYPE_CHECKING:
    from explain.features.depth import Step

IMAGE, RUN, CONTROL = "this image", "the run", "control"


class Named(Protocol):
    """A layer under a chart."""

    @property
    def layer(self) -> str: ...

    @property
    def alias(self) -> str: ...


@dataclass(frozen=True)
class Chart:
    """`lines`: (name, values by layer, how it is drawn: IMAGE, RUN or CONTROL)."""

    title: str
    note: str
    lines: list[tuple[str, list[float], str]]


def depth_panel(
    image: Sequence["Step"],
    run: Sequence["Step"] | None,
    shift: int,
    chosen: str,
    about: dict[str, int] | None,
    running: str,
    offered: bool = True,
) -> str:
    """`offered`: the button that looks at the run; `about`: how many images the run's curves were averaged
    over; `running`: how far the pass over the run is."""
    from explain.features.depth import what_breaks

    charts = "".join(curve_figure(chart, image, chosen) for chart in charts_of(image, run, shift))
    seen = (
        ""
        if about is None
        else f"the run: {about['images']:,} images, {about['pooled']:,} for classes, {about['moved']} for "
        "shifts"
    )
    if running:
        seen = f'{esc(running)} <button class="vt-run" {action("stop")}>Cancel</button>'
    elif about is None:
        button = (
            f', one pass, then kept <button class="vt-run" {action("survey")}>{FIND}</button>'
            if offered
            else ""
        )
        seen = f"the run is not looked at yet{button}"
    return (
        f'<section class="vt-panel"><h2>With depth <small>{seen}</small></h2><div '
        f'class="vt-charts">{charts}</div>'
        f'<p class="vt-empty">{esc(what_breaks(image, shift))}</p></section>'
    )


def charts_of(image: Sequence["Step"], run: Sequence["Step"] | None, shift: int) -> list[Chart]:
    """The run's values in the image's layers; a layer that only one of them has is missing in the other's
    line."""
    of_run = {step.layer: step for step in run or ()}

    def line(name: str, field: str, drawn: str) -> tuple[str, list[float], str]:
        found = of_run.get if drawn != IMAGE else {step.layer: step for step in image}.get
        return (
            name,
            [float("nan") if (s := found(step.layer)) is None else getattr(s, field) for step in image],
            drawn,
        )

    classes = [line(RUN, "separable", RUN), line("labels shuffled", "shuffled", CONTROL)]
    made = [
        Chart("Zeros", "share of activations", [line(IMAGE, "zeros", IMAGE), line(RUN, "zeros", RUN)]),
        Chart("Classes apart", "nearest class mean, cross-validated", classes),
    ]
    for pixels, field in ((shift, "by_stride"), (1, "by_one")):
        title = f"Moved by {pixels} pixel{'s' if pixels > 1 else ''}"
        made.append(
            Chart(
                title,
                "features off by, of their size",
                [
                    line(IMAGE, field, IMAGE),
                    line(RUN, field, RUN),
                    line("away from the border", f"{field}_inside", CONTROL),
                ],
            )
        )
    if not run:  # the control of shifts is the image's own then
        for chart, field in zip(made[2:], ("by_stride_inside", "by_one_inside"), strict=True):
            chart.lines[2] = ("away from the border", [getattr(step, field) for step in image], CONTROL)
    return made


def curve_figure(chart: Chart, image: Sequence[Named], chosen: str) -> str:
    lines = [line for line in chart.lines if np.isfinite(line[1]).any()]
    head = f"<figcaption><b>{chart.title}</b> <small>{chart.note}</small></figcaption>"
    if not lines:
        return (
            f'<figure class="vt-chart">{head}<p class="vt-empty">of the run, once it is looked at; '
            "needs two images of a class</p></figure>"
        )
    top = max(1.0, max(float(np.nanmax(np.where(np.isfinite(values), values, 0))) for _, values, _ in lines))
    count = max(len(image), 2)
    marks = "".join(_polyline(values, drawn, top, count) for _, values, drawn in lines)
    slots = "".join(_slot(k, step, lines, count, step.layer == chosen) for k, step in enumerate(image))
    legend = "".join(
        f'<span class="vt-key vt-line-{_kind(drawn)}">{esc(name)}</span>' for name, _, drawn in lines
    )
    return (
        f'<figure class="vt-chart">{head}<div class="vt-plot"><span>{percent(top)}</span><span>0</span>'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{chart.title} by '
        f'layer">{slots}{marks}</svg></div>'
        f'<div class="vt-keys">{legend}</div></figure>'
    )


def _kind(drawn: str) -> str:
    return {IMAGE: "image", RUN: "run", CONTROL: "control"}[drawn]


def _polyline(values: Sequence[float], drawn: str, top: float, count: int) -> str:
    """A line that is broken where there is no value; a single value is a short dash."""
    parts, last = list[list[str]](), False
    for k, value in enumerate(values):
        if np.isfinite(value):
            parts += [] if last else [[]]
            parts[-1].append(f"{1000 * (k + 0.5) / count:.1f},{100 * (1 - value / top):.2f}")
        last = bool(np.isfinite(value))
    return "".join(
        f'<polyline class="vt-line-{_kind(drawn)}" points="{" ".join(part if len(part) > 1 else part * 2)}"/>'
        for part in parts
    )


def _slot(k: int, step: Named, lines: list[tuple[str, list[float], str]], count: int, chosen: bool) -> str:
    told = "; ".join(f"{name} {percent(values[k])}" for name, values, _ in lines if np.isfinite(values[k]))
    return (
        f'<rect class="vt-slot{" vt-on" if chosen else ""}" x="{1000 * k / count:.1f}" y="0" '
        f'width="{1000 / count:.1f}" height="100" '
        f"{action('layer', step.layer)}><title>{esc(step.alias)}: {told}</title></rect>"
    )
