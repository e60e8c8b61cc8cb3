"""Predicted against true numbers of one output: points or counts in cells, on which a click, a rectangle or a
lasso chooses images (scatter.js); and the same by number fields."""

import math

from markupsafe import Markup

from dashboard.components.clickable import script
from dashboard.components.controls import segments
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import controls_row
from dashboard.tabs.numbers_state import SIDES, TOOLS, NumbersView
from explain.analysis.numbers.chart import SIDE, Scatter, Tick, outline, scatter_of
from explain.analysis.numbers.plane import Plane
from explain.analysis.numbers.run_numbers import left_out, plane_of
from explain.analysis.numbers.text import number
from explain.formatting import counted
from explain.run.outputs.number_run import NumbersRun

SCRIPT = script("scatter.js")
FIELDS = dict(zip(SIDES, ("true from", "true to", "predicted from", "predicted to"), strict=True))


def scatter_panel(run: NumbersRun, view: NumbersView) -> Markup:
    """The plane of the chosen output, with what was chosen on it."""
    plane = plane_of(run, view.output)
    if not len(plane.rows):
        text = "No image has a true and a predicted number."
        return panel("Predicted against true", empty(text))
    drawn = scatter_of(plane)
    tool = segments("tool", TOOLS, view.tool, "what a drag draws")
    body = (
        controls_row(tool, html('<output class="vt-readout" aria-hidden="true"></output>'))
        + _drawing(plane, drawn, view)
        + _keys(drawn)
        + _fields(view)
    )
    notes = [f"{counted(len(plane.rows), 'image')}", left_out(run, view.output)]
    if plane.outside:
        notes.append(f"{plane.outside:,} outside of the axes are drawn at their border")
    body += empty("; ".join(filter(None, notes)) + ".")
    return panel("Predicted against true", body, "click, or drag over images", _chosen(plane, view))


def _chosen(plane: Plane, view: NumbersView) -> Markup:
    """How many images were chosen, and the way back to all."""
    if (region := view.region) is None:
        return NOTHING
    count = len(plane.inside(region))
    clear = html('<button class="vt-link" {}>clear</button>', action("group", ""))
    return html("<small>{:,} image{} chosen</small> {}", count, "" if count == 1 else "s", clear)


def _drawing(plane: Plane, drawn: Scatter, view: NumbersView) -> Markup:
    axis, region = plane.axis, view.region
    chosen = html('<path class="vt-region" d="{}"/>', outline(plane, region)) if region else NOTHING
    return html(
        '<svg class="vt-scatter" viewBox="-{left} -8 {wide} 356" role="img" aria-label="{alt}" '
        'data-low="{low}" data-high="{high}" data-tool="{tool}">'
        '<rect class="vt-plane" width="{side}" height="{side}"/>{ticks}'
        '<path class="vt-identity" d="M0 {side}L{side} 0"/>{cells}<path class="vt-dots" d="{points}"/>'
        '<path class="vt-dots vt-worst" d="{worst}"/>{chosen}<path class="vt-drawn"/>'
        '<text class="vt-axis" x="{middle}" y="{below}">true {name}</text>'
        '<text class="vt-axis" transform="translate(-{aside} {middle}) rotate(-90)">predicted {name}</text>'
        "</svg>",
        alt=description(plane),
        low=repr(axis.low),
        high=repr(axis.high),
        tool=view.tool,
        left=drawn.left,
        wide=SIDE + 10 + drawn.left,
        aside=drawn.left - 10,
        side=SIDE,
        middle=SIDE // 2,
        below=SIDE + 38,
        name=short(plane.name),
        ticks=join(map(_tick, drawn.ticks)),
        cells=join(
            html('<path class="vt-cells" style="--s:{:.3f}" d="{}"/>', s, path) for s, path in drawn.cells
        ),
        points=drawn.points,
        worst=drawn.worst,
        chosen=chosen,
    )


def description(plane: Plane) -> str:
    """The drawing as text."""
    above = int((plane.residual > 0).sum())
    return (
        f"{counted(len(plane.rows), 'image')}, predicted {plane.name} against true {plane.name}: {above:,} "
        f"predicted too high; true from {number(float(plane.truth.min()))} to "
        f"{number(float(plane.truth.max()))}, predicted from {number(float(plane.predicted.min()))} to "
        f"{number(float(plane.predicted.max()))}"
    )


def short(name: str, most: int = 32) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _tick(tick: Tick) -> Markup:
    up = SIDE - tick.at
    return html(
        '<path class="vt-grid" d="M{at:g} 0V{side}M0 {up:g}H{side}"/>'
        '<text x="{at:g}" y="{below}">{text}</text>'
        '<text class="vt-end" x="-6" y="{middle:g}">{text}</text>',
        at=tick.at,
        up=up,
        side=SIDE,
        below=SIDE + 17,
        middle=up + 4,
        text=tick.text,
    )


def _keys(drawn: Scatter) -> Markup:
    """What the marks are."""
    worst = drawn.worst.count("M")
    keys = [("vt-key-identity", "predicted = true")]
    if drawn.largest:
        keys.append(("vt-key-cells", f"images per cell, up to {drawn.largest:,}"))
    if worst:
        keys.append(("vt-key-worst", f"the {worst} largest errors" if worst > 1 else "the largest error"))
    marks = join(html('<span class="{}">{}</span>', *key) for key in keys)
    return html('<div class="vt-keys vt-marks">{}</div>', marks)


def _fields(view: NumbersView) -> Markup:
    """The sides of a rectangle as numbers, for the keyboard and for exact limits."""
    values = {side: getattr(view.box, side) for side in SIDES}
    inputs = [
        html(
            '<input class="vt-limit" type="number" step="any" data-action="{}" value="{}" aria-label="{}" '
            'placeholder="any">',
            side,
            "" if math.isinf(value) else repr(value).removesuffix(".0"),
            FIELDS[side],
        )
        for side, value in values.items()
    ]
    return html(
        '<div class="vt-toolbar vt-sides-of"><span>true {} to {}</span><span>predicted {} to {}</span></div>',
        *inputs,
    )
