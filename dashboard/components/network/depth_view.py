"""Curves over the depth of a network, for the open image and for the run: small charts that share their
layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from markupsafe import Markup

from dashboard.components.markup import action, html, join
from dashboard.components.network.strongest import FIND
from dashboard.components.panel import empty, panel
from explain.formatting import counted, percent

if TYPE_CHECKING:
    from explain.features.depth import Step

IMAGE, RUN, CONTROL = "this image", "the run", "control"
KINDS = {IMAGE: "image", RUN: "run", CONTROL: "control"}
Line = tuple[str, list[float], str]
"""Name, values by layer, and how it is drawn: IMAGE, RUN or CONTROL."""


class Named(Protocol):
    """A layer under a chart."""

    @property
    def layer(self) -> str: ...

    @property
    def alias(self) -> str: ...


@dataclass(frozen=True)
class Chart:
    """`note`: what is measured; `missing`: why there may be no line."""

    title: str
    note: str
    lines: list[Line]
    missing: str = "computed with the pass over the run"


def depth_panel(
    image: Sequence["Step"],
    run: Sequence["Step"] | None,
    shift: int,
    chosen: str,
    about: dict[str, int] | None,
    running: str,
    offered: bool = True,
    label: str = "",
    of_run: bool = True,
) -> Markup:
    """`offered`: the button that starts the pass over the run; `about`: how many images the run's curves are
    averages of; `running`: progress of the pass; `label`: of several labels per image, the name of the one
    that is told apart; `of_run`: whether there is such a pass."""
    from explain.features.depth import what_breaks

    found = charts_of(image, run, shift, label)
    if not of_run:
        found = [chart for chart in found if any(np.isfinite(values).any() for _, values, _ in chart.lines)]
    charts = join(curve_figure(chart, image, chosen) for chart in found)
    body = html('<div class="vt-charts">{}</div>', charts) + empty(what_breaks(image, shift))
    return panel("By depth", body, _state(about, running, offered) if of_run else "of this image")


def _state(about: dict[str, int] | None, running: str, offered: bool) -> str:
    if running:
        return html('{} <button class="vt-run" {}>Cancel</button>', running, action("stop"))
    if about is not None:
        return (
            f"the run: {counted(about['images'], 'image')}, {about['pooled']:,} for classes, "
            f"{about['moved']} for shifts"
        )
    if not offered:
        return "not computed for the run yet"
    return html(
        'not computed for the run yet; one pass, whose result is kept <button class="vt-run" {}>{}</button>',
        action("survey"),
        FIND,
    )


def charts_of(
    image: Sequence["Step"], run: Sequence["Step"] | None, shift: int, label: str = ""
) -> list[Chart]:
    """The run's values in the image's layers; a layer that only one of them has is missing in the other's
    line."""
    of_run, of_image = ({step.layer: step for step in steps or ()} for steps in (run, image))

    def line(name: str, field: str, drawn: str) -> Line:
        found = of_image if drawn == IMAGE else of_run
        values = [getattr(found[s.layer], field) if s.layer in found else float("nan") for s in image]
        return name, values, drawn

    made = [
        Chart("Zeros", "fraction of activations", [line(IMAGE, "zeros", IMAGE), line(RUN, "zeros", RUN)]),
        Chart(
            f"Separability of {label}" if label else "Class separability",
            f"{'average precision' if label else 'accuracy'} of the nearest class mean, cross-validated",
            [line(RUN, "separable", RUN), line("labels shuffled", "shuffled", CONTROL)],
            "computed with the pass over the run; needs images with the label and without"
            if label
            else "computed with the pass over the run; needs two images of a class",
        ),
    ]
    for pixels, field in ((shift, "by_stride"), (1, "by_one")):
        inside = f"{field}_inside"
        # without a run, the control of shifts is the image's own
        own: Line = ("away from the border", [getattr(step, inside) for step in image], CONTROL)
        control = line(own[0], inside, CONTROL) if run else own
        title = f"Shifted by {pixels} pixel{'s' if pixels > 1 else ''}"
        lines = [line(IMAGE, field, IMAGE), line(RUN, field, RUN), control]
        made.append(Chart(title, "change of the features, relative to their size", lines))
    return made


def curve_figure(chart: Chart, image: Sequence[Named], chosen: str) -> Markup:
    lines = [line for line in chart.lines if np.isfinite(line[1]).any()]
    plot = _plot(chart.title, lines, image, chosen) if lines else empty(chart.missing)
    return html(
        '<figure class="vt-chart"><figcaption><b>{}</b> <small>{}</small></figcaption>{}</figure>',
        chart.title,
        chart.note,
        plot,
    )


def _plot(title: str, lines: Sequence[Line], image: Sequence[Named], chosen: str) -> Markup:
    top = max(1.0, max(float(np.nanmax(np.where(np.isfinite(values), values, 0))) for _, values, _ in lines))
    count = max(len(image), 2)
    return html(
        '<div class="vt-plot"><span>{top}</span><span>0</span><svg viewBox="0 0 1000 100" '
        'preserveAspectRatio="none" role="img" aria-label="{title} by layer">{slots}{curves}</svg></div>'
        '<div class="vt-keys">{legend}</div>',
        top=percent(top),
        title=title,
        slots=join(_slot(k, step, lines, count, step.layer == chosen) for k, step in enumerate(image)),
        curves=join(_polyline(values, drawn, top, count) for _, values, drawn in lines),
        legend=join(
            html('<span class="vt-key vt-line-{}">{}</span>', KINDS[drawn], name) for name, _, drawn in lines
        ),
    )


def _polyline(values: Sequence[float], drawn: str, top: float, count: int) -> Markup:
    """A line that is broken where there is no value; a single value is a short dash."""
    parts, last = list[list[str]](), False
    for k, value in enumerate(values):
        if np.isfinite(value):
            parts += [] if last else [[]]
            parts[-1].append(f"{1000 * (k + 0.5) / count:.1f},{100 * (1 - value / top):.2f}")
        last = bool(np.isfinite(value))
    return join(
        html(
            '<polyline class="vt-line-{}" points="{}"/>',
            KINDS[drawn],
            " ".join(part if len(part) > 1 else part * 2),
        )
        for part in parts
    )


def _slot(k: int, step: Named, lines: Sequence[Line], count: int, chosen: bool) -> Markup:
    """The area of a layer, which can be clicked and has its values as a tooltip."""
    values = "; ".join(f"{name} {percent(values[k])}" for name, values, _ in lines if np.isfinite(values[k]))
    return html(
        '<rect class="vt-slot{on}" x="{x:.1f}" y="0" width="{width:.1f}" height="100" {click}>'
        "<title>{alias}: {values}</title></rect>",
        on=" vt-on" if chosen else "",
        x=1000 * k / count,
        width=1000 / count,
        click=action("layer", step.layer),
        alias=step.alias,
        values=values,
    )
